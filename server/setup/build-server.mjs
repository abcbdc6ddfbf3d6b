/**
 * Bundles the server's programs into dist/. A set is skipped when all files from which its last bundle was made are unchanged. Each file
 * lands in dist/ complete or not at all.
 *
 *     node server/setup/build-server.mjs [--tools] [--force]
 *
 *     --tools   also bundles what a running lab does not need: the authors' command line, the tests, the benchmarks
 *     --force   bundles even if nothing has changed
 */
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Programs that load their packages from node_modules, by the name of their bundle. */
const programs = {
  server: { lab: 'server/cli/lab.ts' },
  tools: { lessons: 'server/cli/lessons.ts', bench: 'server/cli/bench.ts', test: 'server/cli/test.ts' },
};
/** Programs bundled with their packages: a runner starts for each pair, and finding and reading packages took most of its start. */
const runners = {
  server: { runner: 'server/runner/main.ts' },
  tools: { 'bench-runner': 'server/bench/runner.ts' },
};

/** Files besides the sources that affect the bundle. */
const settings = [
  'package-lock.json',
  'tsconfig.json',
  'server/tsconfig.json',
  'server/setup/build-server.mjs',
];

/** Size and modification time: they change with each save and checkout, and cost no reading. */
const fingerprint = (path) => {
  const { size, mtimeMs } = statSync(join(root, path));
  return `${size} ${mtimeMs}`;
};

const stampPath = (set) => join(root, 'dist', `${set}.inputs.json`);

function isUpToDate(set) {
  try {
    const { inputs, outputs } = JSON.parse(readFileSync(stampPath(set), 'utf8'));
    return [inputs, outputs].every((files) =>
      Object.entries(files).every(([path, seen]) => fingerprint(path) === seen),
    );
  } catch {
    return false;
  }
}

function writeWhole(path, contents) {
  const partial = `${path}.partial-${process.pid}`;
  writeFileSync(partial, contents);
  renameSync(partial, path);
}

async function buildSet(set) {
  const { build } = await import('esbuild');
  const options = {
    absWorkingDir: root,
    outdir: 'dist',
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    sourcemap: true,
    metafile: true,
    write: false,
    logLevel: 'warning',
  };
  const results = await Promise.all([
    build({ ...options, entryPoints: programs[set], packages: 'external' }),
    build({
      ...options,
      entryPoints: runners[set],
      external: ['node-pty'],
      // CommonJS packages load Node's modules with require, which an ES module lacks.
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
    }),
  ]);
  mkdirSync(join(root, 'dist'), { recursive: true });
  for (const { path, contents } of results.flatMap(({ outputFiles }) => outputFiles)) {
    writeWhole(path, contents);
  }
  const stamp = (paths) => Object.fromEntries(paths.map((path) => [path, fingerprint(path)]));
  const metafiles = results.map(({ metafile }) => metafile);
  // The lock file represents all packages.
  const sources = metafiles
    .flatMap((made) => Object.keys(made.inputs))
    .filter((path) => !path.startsWith('node_modules/'));
  const inputs = stamp([...sources, ...settings]);
  const outputs = stamp(metafiles.flatMap((made) => Object.keys(made.outputs)));
  writeWhole(stampPath(set), JSON.stringify({ inputs, outputs }));
}

/**
 * @param {{ tools?: boolean, force?: boolean }} options
 * @returns {Promise<boolean>} whether anything had to be built
 */
export async function buildServer({ tools = false, force = false } = {}) {
  const stale = ['server', ...(tools ? ['tools'] : [])].filter((set) => force || !isUpToDate(set));
  await Promise.all(stale.map(buildSet));
  return stale.length > 0;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const built = await buildServer({
    tools: process.argv.includes('--tools'),
    force: process.argv.includes('--force'),
  });
  console.log(built ? 'Server: bundled.' : 'Server: up to date.');
}
