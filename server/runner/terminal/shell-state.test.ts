import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  afterEnd,
  afterEntering,
  afterPrompt,
  afterStart,
  afterTyping,
  attached,
  gone,
  isIdle,
  openRuns,
  type Command,
  type ShellState,
} from './shell-state';

/** The hosts' bash prints `end` and then `prompt` for each new prompt, and `prompt` alone when it redraws one. */
type Event = 'prompt' | 'start' | 'end' | 'type' | 'enter' | 'exit' | 'attach';

interface Story {
  state: ShellState;
  ended: Command[];
  commands: number;
}

/** Time is the number of the event, and so is the id of a run. */
const tell = (events: readonly Event[]): Story =>
  events.reduce<Story>(
    ({ state, ended, commands }, event, index) => {
      switch (event) {
        case 'prompt':
          return { state: afterPrompt(state), ended, commands };
        case 'start':
          return { state: afterStart(state, commands + 1, index), ended, commands: commands + 1 };
        case 'end': {
          const after = afterEnd(state);
          return { state: after.state, ended: after.ended ? [...ended, after.ended] : ended, commands };
        }
        case 'type':
          return { state: afterTyping(state, index), ended, commands };
        case 'enter':
          return { state: afterEntering(afterTyping(state, index), `run-${index}`), ended, commands };
        case 'exit':
          return { state: gone, ended, commands };
        case 'attach':
          return { state: attached, ended, commands };
      }
    },
    { state: gone, ended: [], commands: 0 },
  );

const clean = { at: 'prompt', line: 'clean', isLineOver: false };
const typed = { at: 'prompt', line: 'typed', isLineOver: false };

test.each<[string, Event[], object]>([
  [
    'a shell that says nothing is unknown, typed into or not',
    ['attach', 'type'],
    { at: 'unknown', typedAtMs: 1 },
  ],
  ['a first prompt may have a line that was left half typed', ['attach', 'prompt'], typed],
  ['a new prompt is clean', ['attach', 'end', 'prompt'], clean],
  [
    'a key at the prompt makes its line typed',
    ['attach', 'end', 'prompt', 'type'],
    { ...typed, typedAtMs: 3 },
  ],
  ['a redrawn prompt keeps what was typed', ['attach', 'end', 'prompt', 'type', 'prompt'], typed],
  ['a redrawn prompt keeps a clean line clean', ['attach', 'end', 'prompt', 'prompt'], clean],
  ['an empty line gives a clean prompt', ['attach', 'end', 'prompt', 'type', 'end', 'prompt'], clean],
  [
    'the end of a line leaves the shell idle until its next prompt',
    ['attach', 'end', 'prompt', 'type', 'end'],
    { at: 'prompt', line: 'typed', isLineOver: true },
  ],
  [
    'a command that the learner typed is no run',
    ['attach', 'end', 'prompt', 'type', 'start'],
    { at: 'running', command: { command: 1, atMs: 4 } },
  ],
  [
    'a run’s command is entered, then runs',
    ['attach', 'end', 'prompt', 'enter', 'start'],
    { at: 'running', command: { command: 1, runId: 'run-3', atMs: 4 } },
  ],
  [
    'a prompt that is redrawn while a command is on its way changes nothing',
    ['attach', 'end', 'prompt', 'enter', 'prompt', 'prompt'],
    { at: 'entered', runId: 'run-3' },
  ],
  [
    'a line that the shell refuses ends without a command',
    ['attach', 'end', 'prompt', 'enter', 'end'],
    { at: 'ended' },
  ],
  [
    'keys while a command runs are not at a prompt',
    ['attach', 'start', 'type', 'end'],
    { at: 'ended', typedAtMs: 2 },
  ],
  [
    'a nested shell’s prompt keeps the command that it is in',
    ['attach', 'start', 'prompt'],
    { ...typed, within: { command: 1, atMs: 1 } },
  ],
  [
    'a run in a nested shell keeps it too, until the run starts',
    ['attach', 'start', 'prompt', 'enter'],
    { at: 'entered', runId: 'run-3', within: { command: 1, atMs: 1 } },
  ],
  [
    'of two starts in a row the second counts',
    ['attach', 'start', 'start'],
    { at: 'running', command: { command: 2, atMs: 2 } },
  ],
  ['ends in a row are one', ['attach', 'start', 'end', 'end', 'end'], { at: 'ended' }],
  [
    'marks of a shell that is gone are forged',
    ['attach', 'exit', 'prompt', 'start', 'end', 'prompt'],
    { at: 'gone' },
  ],
  ['a shell that is gone takes no command', ['enter'], { at: 'gone' }],
  ['a new shell knows nothing of the one before', ['attach', 'end', 'prompt', 'enter', 'attach'], attached],
])('%s', (_, events, expected) => {
  expect(tell(events).state).toMatchObject(expected);
});

describe('ends', () => {
  test.each<[string, Event[], number[]]>([
    ['each command ends once', ['attach', 'start', 'end', 'end', 'prompt', 'start', 'end'], [1, 2]],
    ['an empty line ends no command', ['attach', 'end', 'prompt', 'end', 'prompt', 'end'], []],
    ['a nested shell’s first end is its command’s', ['attach', 'start', 'prompt', 'end', 'end'], [1]],
    [
      'an end before its start was seen is nobody’s',
      ['attach', 'end', 'prompt', 'enter', 'end', 'start'],
      [],
    ],
  ])('%s', (_, events, commands) => {
    expect(tell(events).ended.map(({ command }) => command)).toEqual(commands);
  });
});

test.each<[Event[], string[]]>([
  [['attach', 'end', 'prompt'], []],
  [['attach', 'end', 'prompt', 'enter'], ['run-3']],
  [['attach', 'end', 'prompt', 'enter', 'start'], ['run-3']],
  [['attach', 'end', 'prompt', 'enter', 'start', 'prompt'], ['run-3']],
  [
    ['attach', 'end', 'prompt', 'enter', 'start', 'prompt', 'enter'],
    ['run-3', 'run-6'],
  ],
  [['attach', 'end', 'prompt', 'type', 'start'], []],
  [['attach', 'end', 'prompt', 'enter', 'start', 'end'], []],
  [['attach', 'end', 'prompt', 'enter', 'start', 'exit'], []],
])('after %j the runs that end with the shell are %j', (events, runs) => {
  expect(openRuns(tell(events).state)).toEqual(runs);
});

test('whatever marks come, each command ends at most once, and a clean prompt is newer than the last key', () => {
  const event = fc.constantFrom<Event>('prompt', 'start', 'end', 'type', 'enter', 'exit', 'attach');
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      const { state, ended, commands } = tell(events);
      const numbers = ended.map(({ command }) => command);
      expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
      expect(commands).toBe(events.filter((one) => one === 'start').length);
      if (!isIdle(state)) return;
      expect(events.slice(events.findLastIndex((one) => one === 'attach' || one === 'exit'))).toContain(
        'prompt',
      );
      if (state.at !== 'prompt' || state.line !== 'clean') return;
      const lastKey = events.findLastIndex((one) => one === 'type' || one === 'enter');
      expect(events.lastIndexOf('prompt')).toBeGreaterThan(lastKey);
    }),
  );
});
