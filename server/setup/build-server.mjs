/**
 * Bundles the server: server/lab.ts to dist/lab.js, server/authoring/main.ts to dist/lessons.js, server/runner/main.ts to
 * dist/runner.js, and server/setup/bench-runner.ts, which stands in for it in a benchmark, to dist/bench-runner.js.
 * Skipped when every file that the last bundle was made of is as it was; each file lands in dist/ complete or not at all.
 *
 *     node server/setup/build-server.mjs [--force]
 */
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const stampPath = join(root, 'dist', 'inputs.json');
/** Files besides the sources that change what the bundle is. */
const settings = ['package-lock.json', 'tsconfig.json', 'server/setup/build-server.mjs'];

/** Size and modification time: what changes with each save and checkout, and costs no reading. */
const fingerprint = (path) => {
  const { size, mtimeMs } = statSync(join(root, path));
  return `${size} ${mtimeMs}`;
};

function isUpToDate() {
  try {
    const { inputs, outputs } = JSON.parse(readFileSync(stampPath, 'utf8'));
    return [inputs, outputs].every((files) =>
      Object.entries(files).every(([path, seen]) => fingerprint(path) === seen),
    );
  } catch {
    return false;
  }
}

/**
 * @param {{ force?: boolean }} options
 * @returns {Promise<boolean>} whether anything had to be built
 */
export async function buildServer({ force = false } = {}) {
  if (!force && isUpToDate()) return false;
  const { build } = await import('esbuild');
  const options = {
    absWorkingDir: root,
    outdir: 'dist',
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.9',
    sourcemap: true,
    metafile: true,
    write: false,
    logLevel: 'warning',
  };
  const results = await Promise.all([
    build({
      ...options,
      entryPoints: { lab: 'server/lab.ts', lessons: 'server/authoring/main.ts' },
      packages: 'external',
    }),
    // Its packages are in the bundle: a runner starts for each pair, and finding and reading them took most of its start.
    build({
      ...options,
      entryPoints: { runner: 'server/runner/main.ts', 'bench-runner': 'server/setup/bench-runner.ts' },
      external: ['node-pty'],
      // Packages in CommonJS ask for Node's own modules by require, which a module does not have.
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
    }),
  ]);
  mkdirSync(join(root, 'dist'), { recursive: true });
  for (const { path, contents } of results.flatMap(({ outputFiles }) => outputFiles)) {
    const partial = `${path}.partial-${process.pid}`;
    writeFileSync(partial, contents);
    renameSync(partial, path);
  }
  const stamp = (paths) => Object.fromEntries(paths.map((path) => [path, fingerprint(path)]));
  const metafiles = results.map(({ metafile }) => metafile);
  // The lock file stands for all packages.
  const sources = metafiles
    .flatMap((made) => Object.keys(made.inputs))
    .filter((path) => !path.startsWith('node_modules/'));
  const inputs = stamp([...sources, ...settings]);
  const outputs = stamp(metafiles.flatMap((made) => Object.keys(made.outputs)));
  const partial = `${stampPath}.partial-${process.pid}`;
  writeFileSync(partial, JSON.stringify({ inputs, outputs }));
  renameSync(partial, stampPath);
  return true;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const built = await buildServer({ force: process.argv.includes('--force') });
  console.log(built ? 'Server: bundled.' : 'Server: up to date.');
}
