import { expect, test } from 'vitest';
import { qemuArguments, type MachinePlan } from './qemu';

const plan: MachinePlan = {
  host: 'source',
  accelerator: 'tcg',
  memoryMiB: 1024,
  kernel: '/image/vmlinuz',
  initrd: '/image/initrd.img',
  cpus: {},
  directory: '/session',
  disk: '/session/source.qcow2',
  ram: { mode: 'clone', file: '/template/source.ram' },
};

test('a clone cannot write the template’s RAM', () => {
  const clone = qemuArguments(plan).join(' ');
  expect(clone).toContain('mem-path=/template/source.ram,share=off,readonly=on,rom=off');
});

test('a clone does not run before it is resumed', () => {
  expect(qemuArguments(plan).join(' ')).toContain('-S -incoming defer');
});

test('template and clone differ only in RAM mode and incoming state', () => {
  const boot = qemuArguments({ ...plan, ram: { mode: 'boot', file: '/template/source.ram' } }).join(' ');
  expect(
    qemuArguments(plan)
      .join(' ')
      .replace('share=off,readonly=on,rom=off', 'share=on')
      .replace(' -S -incoming defer', ''),
  ).toBe(boot);
});

test('the only network device is one end of the pair’s private link', () => {
  const words = qemuArguments(plan);
  const backends = words.filter((_, index) => words[index - 1] === '-netdev');
  expect(backends).toEqual([
    'dgram,id=link,local.type=unix,local.path=/session/source.net,remote.type=unix,remote.path=/session/destination.net',
  ]);
  expect(words.filter((word) => word.startsWith('virtio-net'))).toHaveLength(1);
});

test('a host has the accelerator’s default CPU, or the configured model', () => {
  const cpu = (changes: Partial<MachinePlan>) => {
    const words = qemuArguments({ ...plan, ...changes });
    return words[words.indexOf('-cpu') + 1];
  };
  expect(cpu({})).toMatch(/^max,/);
  expect(cpu({ accelerator: 'kvm' })).toBe('host');
  const cpus = { destination: 'Nehalem' } as const;
  expect(cpu({ cpus })).toMatch(/^max,/);
  expect(cpu({ cpus, host: 'destination' })).toBe('Nehalem');
  expect(cpu({ cpus, host: 'destination', accelerator: 'kvm' })).toBe('Nehalem');
});
