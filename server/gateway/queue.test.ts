import { beforeEach, describe, expect, test } from 'vitest';
import { Queue } from './queue';

const graceMs = 60_000;

describe('Queue', () => {
  let now: number;
  let queue: Queue;
  let lapsed: string[];
  const join = (name: string, address = 'hotel') => {
    queue.join(name, address, 'lesson');
  };
  const takeAny = () => queue.take(() => true)?.ownerHash;

  beforeEach(() => {
    now = 0;
    lapsed = [];
    queue = new Queue(
      graceMs,
      (name) => lapsed.push(name),
      () => now,
    );
  });

  test('serves first the learner who came first', () => {
    for (const name of ['ada', 'bob', 'eve']) join(name);
    expect(queue.ask('eve')?.position).toBe(3);
    expect([takeAny(), takeAny(), takeAny(), takeAny()]).toEqual(['ada', 'bob', 'eve', undefined]);
  });

  test('gives one position to each learner, who keeps it when asking twice', () => {
    for (const name of ['ada', 'bob', 'ada']) join(name);
    expect(queue.size).toBe(2);
    expect(queue.ask('ada')?.position).toBe(1);
  });

  test('keeps the position of a learner who asks for another lesson', () => {
    join('ada');
    join('bob');
    queue.join('ada', 'hotel', 'another');
    expect(queue.ask('ada')).toMatchObject({ position: 1, entry: { lessonId: 'another' } });
  });

  test('forgets a learner who was not heard of, and moves the others up', () => {
    join('ada');
    join('bob');
    now = graceMs;
    queue.ask('bob');
    now = graceMs + 1;
    expect(queue.ask('ada')).toBeUndefined();
    expect(queue.ask('bob')?.position).toBe(1);
    expect(lapsed).toEqual(['ada']);
  });

  test('passes over a learner who may not have a pair now, who stays in front', () => {
    join('ada', 'greedy');
    join('bob', 'hotel');
    expect(queue.take(({ address }) => address !== 'greedy')?.ownerHash).toBe('bob');
    expect(queue.ask('ada')?.position).toBe(1);
    expect(queue.countOf('greedy')).toBe(1);
  });

  test('lets learners leave', () => {
    join('ada');
    join('bob');
    queue.leave('ada');
    expect(queue.ask('bob')?.position).toBe(1);
    expect(takeAny()).toBe('bob');
  });
});
