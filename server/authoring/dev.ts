/** Serves the site to authors: real hosts, and pages that reload when a lesson is saved. */
import { once } from 'node:events';
import { watch } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { execa } from 'execa';
import { pino } from 'pino';
import type { Config } from '../config';
import { freePort } from '../free-port';
import { startGateway } from '../gateway/gateway';
import { root } from '../root';
import { formatDiagnostic } from '../lessons/diagnostics';
import { prepareLab } from '../setup/stages';
import { readCourse } from './course';
import { lintCourse } from './lint';

/** Editors write a file in several steps. A change counts after this many milliseconds without another. */
const settleMs = 150;

async function printDiagnostics(lessonId: string): Promise<void> {
  const diagnostics = await lintCourse(await readCourse(root), [lessonId]);
  console.log(
    diagnostics.length === 0
      ? `${lessonId}: no errors, no warnings.`
      : diagnostics.map(formatDiagnostic).join('\n'),
  );
}

/** Calls back with a lesson's id after somebody saved one of its files. */
function watchLessons(onSaved: (lessonId: string) => void): () => void {
  const waiting = new Map<string, NodeJS.Timeout>();
  const watcher = watch(join(root, 'lessons'), { recursive: true }, (_event, path) => {
    const [id, ...rest] = path?.split(sep) ?? [];
    if (id === undefined || rest.length === 0) return;
    clearTimeout(waiting.get(id));
    waiting.set(
      id,
      setTimeout(() => {
        onSaved(id);
      }, settleMs),
    );
  });
  return () => {
    watcher.close();
    for (const timer of waiting.values()) clearTimeout(timer);
  };
}

/**
 * Serves the site until the signal. Next.js in development mode serves the pages. It forwards the API to a gateway and the
 * stream of changes to this process.
 * @param lessonIds lessons that need hosts; all when empty
 * @throws LabError as {@link prepareLab} and {@link startGateway} do
 */
export async function serveForAuthors(
  config: Config,
  lessonIds: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const parts = { withoutSite: true, ...(lessonIds.length === 0 ? {} : { lessonIds }) };
  const lab = await prepareLab(config, root, signal, parts);
  const stateDir = await mkdtemp(join(tmpdir(), 'lab-'));
  const origin = `http://localhost:${config.port}`;
  const port = await freePort();
  const gateway = await startGateway({
    config: { ...config, port, metricsPort: 0, publicOrigin: origin, stateDir },
    lab,
    lessonsDir: join(root, 'lessons'),
    siteDir: undefined,
    runnerProgram: join(root, 'dist', 'runner.js'),
    log: pino({ level: 'error' }),
  });

  const listeners = new Set<ServerResponse>();
  const changes = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    response.write(': hello\n\n');
    listeners.add(response);
    response.on('close', () => listeners.delete(response));
  }).listen(0, '127.0.0.1');
  await once(changes, 'listening');
  const stopWatching = watchLessons((id) => {
    for (const listener of listeners) listener.write(`data: ${id}\n\n`);
    printDiagnostics(id).catch((error: unknown) => {
      console.error(error);
    });
  });

  try {
    const next = join(root, 'node_modules', 'next', 'dist', 'bin', 'next');
    const site = execa(process.execPath, [next, 'dev', '--port', String(config.port)], {
      cwd: root,
      env: {
        NEXT_TELEMETRY_DISABLED: '1',
        LAB_DEV_API: `http://127.0.0.1:${port}`,
        LAB_DEV_CHANGES: `http://127.0.0.1:${(changes.address() as AddressInfo).port}`,
      },
      stdout: 'inherit',
      stderr: 'inherit',
      reject: false,
      cancelSignal: signal,
    });
    console.log(
      `\n  ${origin}/lessons/${lessonIds[0] ?? ''}\n\nSave a lesson to reload it in the browser. Press Ctrl-C to stop.`,
    );
    console.log(
      'Running hosts keep their commands and checks. After you change a command or a check, get fresh hosts.\n',
    );
    for (const id of lessonIds) await printDiagnostics(id);
    await site;
  } finally {
    stopWatching();
    changes.close();
    changes.closeAllConnections();
    await gateway.stop('server-stopped');
    await rm(stateDir, { recursive: true, force: true });
  }
}
