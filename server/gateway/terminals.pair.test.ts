/** Terminals on a real pair: what a learner has open comes back as it was, and what they click happens once. */
import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { parseCast } from '../lessons/cast';
import { pageTerminal, show, write } from '../testing/screen';
import { Learner } from '../client/learner';
import { labSetUpTimeoutMs, startTestLab, type TestLab } from '../testing/lab';

const lessonId = 'live-migration';
const pairTimeoutMs = 180_000;
const commandTimeoutMs = 60_000;
const columns = 100;
const rows = 30;

describe('terminals', () => {
  let lab: TestLab;
  let learner: Learner;

  const attachBoth = async (): Promise<void> => {
    await learner.connect();
    for (const host of ['source', 'destination']) learner.attach(host, columns, rows);
    for (const host of ['source', 'destination']) await learner.untilPrompt(host, true, pairTimeoutMs);
  };
  beforeAll(async () => {
    lab = await startTestLab();
    learner = new Learner(lab.url);
    await learner.startSession(lessonId);
    await attachBoth();
  }, labSetUpTimeoutMs);
  // What a test that failed has left running would fail all that come after it.
  afterEach(async ({ task }) => {
    if (task.result?.state !== 'fail') return;
    console.log(stripVTControlCharacters(learner.screen('source')).slice(-1500));
    await learner.request('POST', '/session/reset');
    await attachBoth();
  });
  afterAll(async () => {
    await lab.stop();
  });

  /** The same learner on another page. */
  const anotherPage = async (): Promise<Learner> => {
    const page = new Learner(lab.url, learner.browser);
    await page.connect();
    return page;
  };
  const shows = (text: string | RegExp, terminal = 'source', page = learner) =>
    page.until(
      () => {
        const screen = page.screen(terminal);
        return typeof text === 'string' ? screen.includes(text) : text.test(screen);
      },
      commandTimeoutMs,
      String(text),
    );
  const runs = (page: Learner, runId: string, whenBusy: 'refuse' | 'interrupt' | 'cut-line') => {
    page.send({ type: 'run', runId, stepId: 'start-the-container', block: 0, terminal: 'source', whenBusy });
  };
  /** A program has drawn its screen when nothing comes for a while. */
  const untilDrawn = async (): Promise<void> => {
    for (let length = -1; length !== learner.screen('source').length;) {
      length = learner.screen('source').length;
      await sleep(1500);
    }
  };
  /** Types at the prompt and waits for the next. */
  const says = async (command: string, terminal = 'source', page = learner): Promise<string> => {
    await page.untilPrompt(terminal, true, commandTimeoutMs);
    const before = page.screen(terminal).length;
    page.type(terminal, `${command}; echo the-"end"\r`);
    await page.until(
      () => page.screen(terminal).slice(before).includes('the-end'),
      commandTimeoutMs,
      command,
    );
    await page.untilPrompt(terminal, true, commandTimeoutMs);
    // Without the shell's marks, which stand at the beginning of lines.
    return stripVTControlCharacters(page.screen(terminal).slice(before));
  };

  test.each<[string, string, RegExp, string]>([
    ['vim', 'vim -c "set cursorline" /etc/hosts\r', /rhel08/, '\x1b:q!\r'],
    ['less', 'LESS= less -R /etc/services\r', /services/, 'q'],
    ['tmux', "tmux new-session 'echo in-tmux; exec bash'\r", /in-tmux/, 'exit\r'],
  ])('%s comes back as it was on a page that has nothing', async (name, command, isThere, leave) => {
    await learner.untilPrompt('source', true, commandTimeoutMs);
    learner.type('source', 'seq 50\r');
    await shows('\n50\r\n');
    await learner.untilPrompt('source', true, commandTimeoutMs);
    const before = learner.screen('source').length;
    learner.type('source', command);
    await learner.until(() => isThere.test(learner.screen('source').slice(before)), commandTimeoutMs, name);
    await untilDrawn();
    // vim's word on the file is gone when it draws itself again.
    if (name !== 'tmux') learner.type('source', name === 'less' ? ' ' : '\x0c');
    await untilDrawn();
    const always = pageTerminal(columns, rows);
    await write(always, learner.screens.get('source') ?? '');

    const other = await anotherPage();
    other.attach('source', columns, rows);
    const { columns: shownColumns, rows: shownRows } = await other.waitFor(
      'screen',
      () => true,
      commandTimeoutMs,
    );
    await other.until(() => other.offset('source') !== null, commandTimeoutMs, 'screen');
    const late = pageTerminal(shownColumns, shownRows);
    await write(late, other.screens.get('source') ?? '');
    expect(show(late, 30)).toEqual(show(always, 30));
    expect(late.buffer.active.type).toBe('alternate');

    // What the program itself draws anew is the same, and so is what it leaves behind.
    const redrawn = pageTerminal(columns, rows);
    await write(redrawn, learner.screens.get('source') ?? '');
    const from = learner.screen('source').length;
    if (name === 'tmux') learner.type('source', '\x02r');
    else learner.type('source', '\x0c');
    await learner.until(() => learner.screen('source').length > from + 100, commandTimeoutMs, 'redrawing');
    await untilDrawn();
    await write(redrawn, (learner.screens.get('source') ?? Buffer.alloc(0)).subarray(from));
    if (name !== 'tmux') expect(show(late, 0).slice(0, -1)).toEqual(show(redrawn, 0).slice(0, -1));
    const shown = other.screen('source').length;
    learner.type('source', leave);
    await learner.untilPrompt('source', true, commandTimeoutMs);
    await other.until(
      () => other.screen('source').slice(shown).includes('?1049l'),
      commandTimeoutMs,
      'way out',
    );
    other.cut();
    expect(await says('echo back-"again"')).toContain('back-again');
  });

  test('a run is refused while vim is open, also with Ctrl-C, and types nothing', async () => {
    await learner.untilPrompt('source', true, commandTimeoutMs);
    const before = learner.screen('source').length;
    learner.type('source', 'vim /root/text\r');
    await learner.until(
      () => learner.screen('source').slice(before).includes('~  '),
      commandTimeoutMs,
      'screen of vim',
    );
    await learner.untilPrompt('source', false, commandTimeoutMs);
    for (const whenBusy of ['refuse', 'interrupt', 'cut-line'] as const) {
      const runId = randomUUID();
      runs(learner, runId, whenBusy);
      const answer = await learner.runAnswer(runId, commandTimeoutMs);
      expect(answer).toMatchObject({ type: 'run-refused', busy: 'full-screen' });
    }
    learner.type('source', ':q\r');
    await learner.untilPrompt('source', true, commandTimeoutMs);
  });

  test('a run finds a half-typed line, and cuts it when told to', async () => {
    await learner.untilPrompt('source', true, commandTimeoutMs);
    learner.type('source', 'echo half');
    await shows('echo half');
    const runId = randomUUID();
    runs(learner, runId, 'refuse');
    const refused = await learner.runAnswer(runId, commandTimeoutMs);
    expect(refused).toMatchObject({ type: 'run-refused', busy: 'half-typed' });
    // Typed and deleted again is nothing typed.
    learner.type('source', '\x7f'.repeat('echo half'.length));
    learner.type('source', 'sleep 0\x01');
    await sleep(1000);
    const again = learner.messages.length;
    runs(learner, runId, 'refuse');
    expect(await learner.runAnswer(runId, commandTimeoutMs, again)).toEqual(refused);
    const after = learner.messages.length;
    runs(learner, runId, 'cut-line');
    expect(await learner.runAnswer(runId, commandTimeoutMs, after)).toMatchObject({ type: 'run' });
    const end = await learner.waitFor('mark', ({ mark }) => mark.kind === 'end', commandTimeoutMs, after);
    expect(end.mark).toMatchObject({ exitCode: 0 });
  });

  test('a click is executed once over cut connections and on two pages', async () => {
    await learner.untilPrompt('source', true, commandTimeoutMs);
    expect(await says('podman rm -f -a -t 0 >/dev/null')).toContain('the-end');
    const runId = randomUUID();
    const other = await anotherPage();
    const typed = () => learner.screen('source').split('podman run').length - 1;
    const before = typed();
    for (let time = 0; time < 5; time++) {
      runs(learner, runId, 'refuse');
      runs(other, runId, 'refuse');
      if (time % 2 === 0) await sleep(20);
      learner.cut();
      await learner.connect();
      learner.attach('source', columns, rows);
    }
    runs(learner, runId, 'refuse');
    const answer = await learner.runAnswer(runId, commandTimeoutMs);
    expect(answer).toMatchObject({ type: 'run' });
    await learner.untilPrompt('source', true, commandTimeoutMs);
    expect(await says('podman ps -q | wc -l')).toMatch(/^1\r$/m);
    expect(typed()).toBe(before + 1);
    other.cut();
  });

  test('output that comes while the line is cut is there afterwards, each byte once', async () => {
    await says('echo ready');
    learner.type('source', 'for i in {1..300}; do echo "line $i."; sleep 0.01; done; echo all-"done"\r');
    await shows('line 20.');
    while (!learner.screen('source').includes('all-done')) {
      learner.cut();
      await sleep(300);
      await learner.connect();
      learner.attach('source', columns, rows);
      await sleep(500);
    }
    const shown = stripVTControlCharacters(learner.screen('source'));
    const lines = [...shown.matchAll(/^line (\d+)\.\r$/gm)].map(([, number]) => Number(number));
    expect(lines).toEqual(Array.from({ length: 300 }, (_, index) => index + 1));
    await learner.untilPrompt('source', true, commandTimeoutMs);
  });

  test('what is typed while the line is cut is typed once', async () => {
    learner.type('source', 'cat > /root/typed\r');
    await learner.untilPrompt('source', false, commandTimeoutMs);
    await sleep(500);
    let text = '';
    for (let time = 0; time < 6; time++) {
      const line = `${time} ${'keys '.repeat(50)}`.trimEnd();
      text += `${line}\n`;
      learner.type('source', `${line}\r`);
      if (time % 2 === 0) learner.cut();
      learner.type('source', '');
      if (time % 2 === 0) {
        await learner.connect();
        learner.attach('source', columns, rows);
      }
    }
    learner.type('source', '\x04');
    await learner.untilPrompt('source', true, commandTimeoutMs);
    const sum = await says('md5sum < /root/typed');
    expect(sum).toContain(createHash('md5').update(text).digest('hex'));
  });

  test('Ctrl-C stops a flood', async () => {
    const overheads: number[] = [];
    for (let time = 0; time < 5; time++) {
      await learner.untilPrompt('source', true, commandTimeoutMs);
      const before = learner.shownBytes('source');
      learner.type('source', 'yes\r');
      await learner.until(() => learner.shownBytes('source') > before + 500_000, commandTimeoutMs, 'flood');
      const after = learner.messages.length;
      const pressedAt = performance.now();
      learner.type('source', '\x03');
      // A page that was far behind is given the screen, with the prompt on it.
      await learner.until(
        () =>
          learner.messages
            .slice(after)
            .some(
              (message) =>
                (message.type === 'mark' && message.mark.kind === 'prompt') ||
                (message.type === 'screen' && message.commands.at(-1)?.outputLine === null),
            ),
        commandTimeoutMs,
        'prompt',
      );
      overheads.push(performance.now() - pressedAt);
    }
    // What a program that is asked to end needs for it on this host, without any flood: ended by Ctrl-C as well.
    const alone: number[] = [];
    for (let time = 0; time < 5; time++) {
      await learner.untilPrompt('source', true, commandTimeoutMs);
      learner.type('source', 'sleep 1000\r');
      await learner.untilPrompt('source', false, commandTimeoutMs);
      await sleep(1000);
      const after = learner.messages.length;
      const pressedAt = performance.now();
      learner.type('source', '\x03');
      await learner.waitFor('mark', ({ mark }) => mark.kind === 'prompt', commandTimeoutMs, after);
      alone.push(performance.now() - pressedAt);
    }
    const median = (samples: number[]) =>
      samples.toSorted((a, b) => a - b)[Math.floor(samples.length / 2)] ?? NaN;
    console.log(
      `Ctrl-C to prompt: in a flood ${overheads.map((ms) => ms.toFixed(0)).join(', ')} ms, alone ${alone.map((ms) => ms.toFixed(0)).join(', ')} ms`,
    );
    expect(median(overheads) - median(alone)).toBeLessThan(250);
  });

  test('more terminals of a host have shells of their own, which end with them', async () => {
    const requestId = randomUUID();
    for (let time = 0; time < 2; time++) learner.send({ type: 'open-terminal', host: 'source', requestId });
    await learner.until(
      () =>
        learner.messages.filter((message) => message.type === 'terminals' && message.requestId === requestId)
          .length === 2,
      commandTimeoutMs,
      'both answers',
    );
    const { terminals } = await learner.waitFor('terminals', () => true, commandTimeoutMs);
    expect(terminals).toMatchObject([
      { id: 'source', channel: 0 },
      { id: 'destination', channel: 1 },
      { id: 'source-2', host: 'source', channel: 2, name: 'source 2' },
    ]);
    learner.attach('source-2', columns, rows);
    await learner.untilPrompt('source-2', true, commandTimeoutMs);
    await says('mine=second', 'source-2');
    expect(await says('echo "[$mine]"')).toContain('[]');

    learner.send({ type: 'rename-terminal', terminal: 'source-2', name: 'logs' });
    const renamed = await learner.waitFor(
      'terminals',
      (message) => message.terminals[2]?.name === 'logs',
      commandTimeoutMs,
    );
    expect(renamed.terminals).toHaveLength(3);
    await lab.restartGateway();
    const hello = await learner.connect();
    expect(hello.terminals[2]).toMatchObject({ id: 'source-2', name: 'logs' });
    for (const { id } of hello.terminals) learner.attach(id, columns, rows);
    expect(await says('echo "[$mine]"', 'source-2')).toContain('[second]');

    // The shell of a terminal is its own to leave; the terminal gets another.
    learner.type('source-2', 'exit\r');
    await shows('this shell has ended', 'source-2');
    await learner.untilPrompt('source-2', true, commandTimeoutMs);
    expect(await says('echo "[$mine]"; echo shell is $$', 'source-2')).toContain('[]');
    const shell = /shell is (\d+)/.exec(learner.screen('source-2'))?.[1] ?? '';
    learner.send({ type: 'close-terminal', terminal: 'source-2' });
    await learner.waitFor('terminals', (message) => message.terminals.length === 2, commandTimeoutMs);
    const deadline = Date.now() + commandTimeoutMs;
    while (!(await says(`kill -0 ${shell} || echo it is-"gone"`)).includes('is-gone')) {
      expect(Date.now()).toBeLessThan(deadline);
    }
    expect(await says('ls /run/terminal-*')).not.toContain('source-2');

    learner.send({ type: 'open-terminal', host: 'source', requestId: randomUUID() });
    const reopened = await learner.waitFor(
      'terminals',
      (message) => message.terminals.length === 3,
      commandTimeoutMs,
    );
    expect(reopened.terminals[2]).toMatchObject({ id: 'source-3', channel: 3, name: 'source 3' });
    learner.send({ type: 'close-terminal', terminal: 'source' });
    const refused = await learner.waitFor('error', () => true, commandTimeoutMs);
    expect(refused.error.code).toBe('bad-message');
  });

  test('a terminal’s recording is its learner’s to download, and nobody else’s', async () => {
    const page = await anotherPage();
    page.attach('source', columns, rows);
    await page.until(() => page.offset('source') !== null, commandTimeoutMs, 'screen');
    await says('echo "recorded: é€"', 'source', page);
    const download = (cookie: string): Promise<Response> =>
      fetch(`${lab.url}/api/session/cast?terminal=source`, { headers: { cookie } });
    const response = await download(learner.browser.cookieHeader);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-disposition')).toBe(
      `attachment; filename="${lessonId}-source.cast"`,
    );
    const text = await response.text();
    expect(JSON.parse(text.split('\n')[0] ?? '')).toMatchObject({ version: 2, idle_time_limit: 2 });
    const { events } = parseCast(text);
    expect(events.map((event) => event.text).join('')).toContain('recorded: é€\r\n');
    expect(events.at(-1)?.at).toBeGreaterThan(events[0]?.at ?? Infinity);

    for (const cookie of ['', learner.browser.cookieHeader.replace(/=.*/, '=another')]) {
      const refused = await download(cookie);
      expect(refused.status).toBe(404);
      expect(await refused.json()).toMatchObject({ error: { code: 'no-session' } });
    }
    await expect(page.request('GET', '/session/cast?terminal=source-99')).rejects.toMatchObject({
      code: 'bad-message',
    });
    page.cut();
  });

  test('there are only so many', async () => {
    const page = await anotherPage();
    for (let count = 0; count < 20; count++) {
      page.send({ type: 'open-terminal', host: 'destination', requestId: randomUUID() });
    }
    const { error } = await page.waitFor('error', () => true, commandTimeoutMs);
    expect(error.code).toBe('overloaded');
    const ids = page.latest('terminals')?.terminals.map(({ id }) => id) ?? [];
    expect(ids).toHaveLength(12);
    for (const id of ids) page.attach(id, columns, rows);
    for (const id of ids) await page.untilPrompt(id, true, pairTimeoutMs);
    for (const id of ids) if (id.includes('-')) page.send({ type: 'close-terminal', terminal: id });
    await page.waitFor('terminals', ({ terminals }) => terminals.length === 2, commandTimeoutMs);
    page.cut();
  });
});
