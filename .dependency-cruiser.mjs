/** The direction of imports, checked by `npm run boundaries`. Type-only imports count as any other. */

/**
 * What each room of `server/` may import besides itself. `config`, `free-port`, `posix` and `root` are the files beside the rooms.
 * The order is bottom to top: a room may name only what stands above it in this list.
 */
const serverRooms = {
  root: [],
  posix: [],
  'free-port': [],
  protocol: [],
  config: ['posix', 'protocol'],
  lessons: ['protocol'],
  client: ['protocol'],
  host: ['posix', 'protocol'],
  store: ['posix', 'protocol', 'config'],
  template: ['root', 'posix', 'protocol', 'config', 'host', 'store'],
  providers: ['root', 'posix', 'protocol', 'config', 'host', 'store', 'template'],
  runner: ['posix', 'protocol', 'lessons', 'host', 'store', 'template'],
  gateway: ['posix', 'protocol', 'config', 'lessons', 'store', 'providers'],
  setup: [
    ...['root', 'posix', 'protocol', 'config', 'lessons', 'host', 'store', 'template', 'providers'],
    ...['gateway'],
  ],
  authoring: [
    ...['root', 'posix', 'free-port', 'protocol', 'config', 'lessons', 'client', 'host', 'store'],
    ...['template', 'providers', 'gateway', 'setup'],
  ],
  testing: [
    ...['root', 'posix', 'free-port', 'protocol', 'config', 'lessons', 'client', 'host', 'store'],
    ...['template', 'providers', 'runner', 'gateway', 'setup'],
  ],
  bench: [
    ...['root', 'posix', 'free-port', 'protocol', 'config', 'lessons', 'client', 'host', 'store'],
    ...['template', 'providers', 'runner', 'gateway', 'setup', 'authoring', 'testing'],
  ],
  cli: [
    ...['root', 'posix', 'protocol', 'config', 'lessons', 'client', 'host', 'store', 'template'],
    ...['providers', 'gateway', 'setup', 'authoring', 'testing', 'bench'],
  ],
};

/** The same for `app/`; the pages are everything in it that is in no room. */
const appRooms = {
  ui: [],
  player: ['ui'],
  workspace: ['ui', 'player'],
};

/** The part of the client that takes the browser's place in Node. */
const nodeClient = '^server/client/(node-browser|learner)\\.ts$';
const tests = '\\.test\\.tsx?$';
/** The command lines that run tests and benchmarks; `npm start` neither bundles nor loads them. */
const toolPrograms = '^server/cli/(test|bench)\\.ts$';

const either = (names) => `(${names.join('|')})`;
/** Matches each named room of `server/` or file beside the rooms. */
const inServer = (names) => `^server/${either(names)}(/|\\.ts$)`;
const inApp = (names) => `^app/${either(names)}/`;

const serverRules = Object.entries(serverRooms).map(([room, others]) => ({
  name: `server/${room}`,
  comment: `server/${room} may import ${others.length === 0 ? 'nothing of ours but itself' : `only ${others.join(', ')}`}`,
  severity: 'error',
  from: { path: inServer([room]), pathNot: tests },
  to: { path: '^(app|server|docker|lessons)/', pathNot: inServer([room, ...others]) },
}));

const appRules = Object.entries(appRooms).map(([room, others]) => ({
  name: `app/${room}`,
  comment: `app/${room} may import ${others.length === 0 ? 'nothing of app but itself' : `only ${others.join(', ')} of app`}`,
  severity: 'error',
  from: { path: inApp([room]), pathNot: tests },
  to: { path: '^app/', pathNot: inApp([room, ...others]) },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...serverRules,
    ...appRules,
    {
      name: 'app-knows-protocol-lessons-client',
      comment:
        'app is what the learner sees: of the server it knows the messages, the lesson model and the client',
      severity: 'error',
      from: { path: '^app/', pathNot: tests },
      to: { path: '^(server|docker|lessons)/', pathNot: inServer(['protocol', 'lessons', 'client']) },
    },
    {
      name: 'nothing-knows-app',
      severity: 'error',
      from: { pathNot: '^app/' },
      to: { path: '^app/' },
    },
    {
      name: 'pure-rooms',
      comment:
        'protocol, the lesson model and the client run in a browser too: no input, no output, no framework',
      severity: 'error',
      from: {
        path: inServer(['protocol', 'lessons', 'client']),
        pathNot: [tests, '^server/lessons/load\\.ts$', nodeClient],
      },
      // Hashes and text without control characters are no input and no output.
      to: { dependencyTypes: ['core'], pathNot: '^(crypto|util)$' },
    },
    {
      name: 'pure-rooms-without-frameworks',
      severity: 'error',
      from: { path: inServer(['protocol', 'lessons', 'client']), pathNot: tests },
      to: { path: '^node_modules/(next|react|react-dom|hono|@hono|pino|execa|listr2|node-pty|mdx-bundler)/' },
    },
    {
      name: 'pure-rooms-without-sockets',
      comment: 'The browser has a WebSocket of its own; the one of ws is for the client’s Node socket alone',
      severity: 'error',
      from: {
        path: inServer(['protocol', 'lessons', 'client']),
        pathNot: [tests, nodeClient],
      },
      to: { path: '^node_modules/ws/' },
    },
    {
      name: 'no-tools-in-what-ships',
      comment: 'Tests and benchmarks are imported by tests, by their own command lines and by each other',
      severity: 'error',
      from: { pathNot: [tests, '^server/(testing|bench)/', toolPrograms] },
      to: { path: '^server/(testing|bench)/' },
    },
    {
      name: 'no-dev-dependency-in-what-ships',
      severity: 'error',
      from: { path: '^(app|server)/', pathNot: [tests, '^server/(testing|bench)/', toolPrograms] },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only', 'npm'] },
    },
    {
      name: 'only-listed-packages',
      comment:
        'A package that is imported stands in package.json; one that only another package brings may go any day',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    { name: 'no-circle', severity: 'error', from: {}, to: { circular: true } },
    { name: 'resolves', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|\\.next)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
