/** Every clone of a lesson's template contains what the lesson's set-up started, still running. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { labSetUpTimeoutMs } from '../testing/lab';
import { Pair } from '../runner/pair';
import { on, Shell, workplace, type Workplace } from '../testing/pair';
import { ensureLessonTemplate, readTemplate } from './template';

let place: Workplace;
let pair: Pair | undefined;

beforeAll(async () => {
  place = await workplace();
}, labSetUpTimeoutMs);

afterAll(async () => {
  await pair?.destroy();
  await place.remove();
});

/** Prints the counter's next number; the counter's address is the same in all clones. */
const ask =
  'curl -s --retry 20 --retry-connrefused --retry-delay 1 "$(podman inspect -f "{{.NetworkSettings.IPAddress}}" counter)":8080/helloworld/';

const options = { signal: new AbortController().signal, onProgress: () => undefined };

test('a lesson without set-up has the base template', async () => {
  expect(await ensureLessonTemplate(place.config, place.templateDir, [], options)).toBe(place.templateDir);
});

test('clones of a lesson’s template have its container running', async () => {
  const startedAt = performance.now();
  const dir = await ensureLessonTemplate(
    place.config,
    place.templateDir,
    [
      { host: 'source', text: `podman run -d --name counter localhost/counter\n${ask} | grep -x 0` },
      { host: 'destination', text: 'echo set up > /root/note' },
    ],
    options,
  );
  console.log(`lesson template: ${(performance.now() - startedAt).toFixed(0)} ms`);
  expect((await readTemplate(dir)).base).toBe(place.templateDir);

  pair = await Pair.clone(place.directory, dir, () => undefined);
  const count = () => on(pair as Pair, 'source', ask);
  expect(await on(pair, 'source', 'podman ps --format "{{.Names}} {{.State}}"')).toBe('counter running');
  expect(await count()).toBe('1');
  expect(await on(pair, 'destination', 'cat /root/note')).toBe('set up');
  const shell = new Shell(pair, 'source');
  await shell.attach();
  expect(await shell.type(ask)).toContain('\x072\r\n');
  shell.close();

  const saved = await pair.save(join(place.directory, 'saved'));
  await on(pair, 'source', 'podman rm --force --time 0 counter');
  await pair.rewind(saved);
  expect(await count()).toBe('3');
  await pair.rewind(undefined);
  expect(await count()).toBe('1');
});
