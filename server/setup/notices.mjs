/**
 * Writes THIRD-PARTY-NOTICES.md: each npm package that a running lab uses, its copyright and its licence, from package-lock.json
 * and node_modules.
 *
 *     node server/setup/notices.mjs
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const noticesFile = 'THIRD-PARTY-NOTICES.md';

const licenceFile = /^(licen[cs]e|copying)/i;
/** A line of its own that only says whose work it is; licences with the same rest are printed once. */
const copyrightLine = /^\W*(copyright|\(c\)|©).*$/gim;
const titleLine = /^\W*(the )?(MIT|ISC) License( \(MIT\))?\W*$/gim;

/** Packages whose package.json names no licence, and where they do name it. */
const licencesElsewhere = { format: 'MIT (Readme.md)' };

const squeeze = (text) => text.replace(/\s+/g, ' ').trim();

/**
 * Reads one installed package.
 * @param {string} path such as `node_modules/zod`
 */
function readPackage(path) {
  const directory = join(root, path);
  const { name, version, license, author } = JSON.parse(
    readFileSync(join(directory, 'package.json'), 'utf8'),
  );
  const file = readdirSync(directory)
    .filter((entry) => licenceFile.test(entry))
    .sort()[0];
  const text =
    file === undefined ? '' : readFileSync(join(directory, file), 'utf8').replaceAll('\r', '').trim();
  // A full licence such as Apache-2.0 says "copyright" in its own sentences: only short ones are taken apart.
  const isShort = text.length < 3000;
  const copyrights = isShort ? (text.match(copyrightLine) ?? []).map(squeeze) : [];
  const terms = isShort ? text.replace(copyrightLine, '').replace(titleLine, '').trim() : text;
  const writtenBy = typeof author === 'string' ? author : author?.name;
  return {
    id: `${name} ${version}`,
    licence: licencesElsewhere[name] ?? license,
    copyrights: file === undefined && writtenBy ? [`by ${squeeze(writtenBy)}`] : copyrights,
    terms: terms.replace(/\n{3,}/g, '\n\n'),
  };
}

/** @returns {string} what THIRD-PARTY-NOTICES.md has to be */
export function makeNotices() {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const used = Object.entries(packages)
    // Optional packages are those of other platforms.
    .filter(
      ([path, { dev, optional }]) => path !== '' && !dev && !(optional && !existsSync(join(root, path))),
    )
    .map(([path]) => readPackage(path));
  const groups = new Map();
  for (const one of used) {
    const key = `${one.licence}\n${squeeze(one.terms).toLowerCase()}`;
    const group = groups.get(key) ?? { ...one, members: new Set() };
    group.members.add([one.id, ...one.copyrights].join('; '));
    groups.set(key, group);
  }
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  const sections = [...groups.values()]
    .map(({ licence, terms, members }) => ({ licence, terms, members: [...members].sort(compare) }))
    .sort((a, b) => b.members.length - a.members.length || compare(a.members[0], b.members[0]));
  return [
    '# Third-party notices',
    'Live Migration Lab uses the npm packages below. `npm run notices` writes this file from package-lock.json.',
    'npm installs these packages; this repository contains none of them.',
    ...sections.flatMap(({ licence, terms, members }) => [
      `## ${licence}`,
      members.map((member) => `- ${member}`).join('\n'),
      terms === '' ? 'The package has no licence file.' : `~~~~text\n${terms}\n~~~~`,
    ]),
  ]
    .join('\n\n')
    .concat('\n');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(join(root, noticesFile), makeNotices());
}
