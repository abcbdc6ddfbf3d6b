/**
 * Terminals against a model: whatever pages come and go, however slowly they take, whoever types what twice, what each page has
 * shown is an exact copy of a part of what the program wrote, and what it wrote is what was typed, once.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Terminal } from './terminal';
import { TestPage } from '../../testing/page';

/** Small, so that pages fall behind it. */
const scrollbackBytes = 64 * 1024;

const texts = fc.oneof(
  fc.string({ unit: fc.constantFrom(...Array.from('abc é漢\n')), minLength: 1, maxLength: 200 }),
  fc.constantFrom(
    '\x1b[31mred\x1b[m',
    '\x1b]133;A\x07$ \x1b]133;B\x07',
    '\x1b]133;C\x07',
    '\x1b]133;D;1\x07',
    '\x1b[?1049h',
    '\x1b]0;t',
  ),
  fc.nat({ max: 30 }).map((kilobytes) => `${'flood '.repeat(170)}\r\n`.repeat(kilobytes)),
);
const who = fc.nat({ max: 3 });

type Step =
  | { do: 'attach'; page: number; from: 'nothing' | 'where it was' | number }
  | { do: 'detach'; page: number }
  | { do: 'take'; page: number; bytes: number; times: number }
  | { do: 'acknowledge'; page: number; share: number }
  | { do: 'type'; page: number; text: string; again: number }
  | { do: 'resize'; page: number; columns: number }
  | { do: 'activate'; page: number }
  | { do: 'wait' };

const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('attach' as const),
      page: who,
      from: fc.oneof(
        fc.constant('nothing' as const),
        fc.constant('where it was' as const),
        fc.nat({ max: 300_000 }),
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('detach' as const), page: who }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('take' as const),
      page: who,
      bytes: fc.integer({ min: 1, max: 40_000 }),
      times: fc.nat({ max: 20 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('acknowledge' as const),
      page: who,
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('type' as const),
      page: who,
      text: texts,
      again: fc.nat({ max: 500 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('resize' as const),
      page: who,
      columns: fc.integer({ min: 10, max: 100 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('activate' as const), page: who }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const) }) },
);

/** A page over all its connections. */
class Person {
  readonly clientId = randomUUID();
  /** All that it typed. */
  typed = Buffer.alloc(0);
  page: TestPage | undefined;
  readonly left: TestPage[] = [];
}

test('each page shows an exact copy, and each keystroke counts once', { timeout: 300_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { minLength: 10, maxLength: 60 }), async (script) => {
      const events = {
        onIdle: () => undefined,
        onPrompt: () => undefined,
        onRun: () => undefined,
        onExit: () => undefined,
      };
      const terminal = new Terminal('source', 'source', 0, 'source', events, scrollbackBytes);
      terminal.open(['sh', '-c', 'stty raw -echo; printf ready; exec cat']);
      while (terminal.log.end < 5) await sleep(2);
      const people = [0, 1, 2, 3].map(() => new Person());
      let typed = Buffer.from('ready');
      try {
        for (const step of script) {
          if (step.do === 'wait') {
            await sleep(5);
            continue;
          }
          const person = people[step.page];
          if (!person) throw new Error('nobody');
          await perform(step, person, terminal, (bytes) => (typed = Buffer.concat([typed, bytes])));
          for (const { page } of people) if (page) check(page, typed);
        }
        await finish(terminal, people, typed);
      } finally {
        terminal.dispose();
      }
    }),
    // Not made smaller: with real time in it, what fails once seldom fails again, and the cause would be lost to the time limit.
    { numRuns: 60, endOnFailure: true },
  );
});

async function perform(
  step: Exclude<Step, { do: 'wait' }>,
  person: Person,
  terminal: Terminal,
  onTyped: (bytes: Buffer) => void,
): Promise<void> {
  const { page } = person;
  switch (step.do) {
    case 'attach': {
      const from =
        step.from === 'nothing' ? null : step.from === 'where it was' ? (page?.end ?? null) : step.from;
      const next = new TestPage(terminal, {
        from,
        clientId: person.clientId,
        isManual: true,
        window: 16 * 1024,
      });
      if (page && step.from !== 'where it was') person.left.push(page);
      if (page) expect(page.ended).toBe(true);
      person.page = next;
      break;
    }
    case 'detach':
      if (page) terminal.detach(page.attachment);
      person.page = undefined;
      break;
    case 'take':
      for (let time = 0; page && time < step.times; time++) if (!page.take(step.bytes)) break;
      break;
    case 'acknowledge':
      page?.acknowledge(page.begin + Math.floor((page.end - page.begin) * step.share));
      break;
    case 'type': {
      if (!page) break;
      const bytes = Buffer.from(step.text);
      // As after a lost connection: some of what was sent before comes again.
      const again = Math.min(step.again, person.typed.length);
      const frame = Buffer.concat([person.typed.subarray(person.typed.length - again), bytes]);
      for (let tries = 0; ; tries++) {
        try {
          terminal.write(page.attachment, person.typed.length - again, frame);
          break;
        } catch (error) {
          // More than the program has read: as a page would, wait for it to be acknowledged.
          expect(String(error)).toMatch(/no room for more|does not read its input/);
          if (tries > 2000) throw error;
          page.acknowledge();
          while (page.take(40_000)) page.acknowledge();
          await sleep(2);
        }
      }
      person.typed = Buffer.concat([person.typed, bytes]);
      onTyped(bytes);
      break;
    }
    case 'resize':
      if (page) terminal.setViewport(page.attachment, step.columns, 20);
      break;
    case 'activate':
      if (page) terminal.activate(page.attachment);
      break;
  }
}

/** The page shows a part of the output at its offset, with each size and mark at its byte. */
function check(page: TestPage, typed: Buffer): void {
  expect(page.bytes.equals(typed.subarray(page.begin, page.end))).toBe(true);
  let last = -1;
  for (const { offset } of page.all('mark').slice(-50)) {
    expect(offset).toBeGreaterThanOrEqual(last);
    expect(typed.subarray(0, offset).at(-1)).toBe(0x07);
    last = offset;
  }
}

async function finish(terminal: Terminal, people: Person[], typed: Buffer): Promise<void> {
  const pages = people.flatMap(({ page }) => (page ? [page] : []));
  const last = new TestPage(terminal, { isManual: true });
  const deadline = Date.now() + 20_000;
  while ([...pages, last].some((page) => page.end < typed.length) || terminal.log.end < typed.length) {
    for (const page of [...pages, last]) {
      while (page.take(40_000));
      page.acknowledge();
    }
    if (Date.now() > deadline) throw new Error(`Not all came: ${terminal.log.end} of ${typed.length}.`);
    await sleep(1);
  }
  for (const page of [...pages, last]) check(page, typed);
  for (const { clientId, typed: own } of people) expect(terminal.takenFrom(clientId)).toBe(own.length);
}
