/** The site for whoever writes a lesson: real hosts, and a page that shows what was saved at once. */
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
import { prepareLab } from '../setup/stages';
import { readCourse } from './course';
import { formatFinding } from './findings';
import { lintCourse } from './lint';

/** An editor writes a file in several steps. */
const settleMs = 150;

async function tellFindings(lessonId: string): Promise<void> {
  const findings = await lintCourse(await readCourse(root), [lessonId]);
  console.log(
    findings.length === 0 ? `${lessonId}: nothing is wrong.` : findings.map(formatFinding).join('\n'),
  );
}

/** Calls back with a lesson's id after one of its files was saved. */
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
 * Serves the site until the signal. Next.js in development mode serves the pages; it passes the API on to a gateway, and the
 * stream of changes to this process.
 * @param lessonIds lessons whose hosts are wanted; all when empty
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
    tellFindings(id).catch((error: unknown) => {
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
      `\n  ${origin}/lessons/${lessonIds[0] ?? ''}\n\nA lesson is shown anew when it is saved. Ctrl-C stops.`,
    );
    console.log(
      'Hosts keep the commands and checks that they were started with: after a change of these get fresh hosts.\n',
    );
    for (const id of lessonIds) await tellFindings(id);
    await site;
  } finally {
    stopWatching();
    changes.close();
    changes.closeAllConnections();
    await gateway.stop('server-stopped');
    await rm(stateDir, { recursive: true, force: true });
  }
}
