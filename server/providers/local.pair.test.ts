import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { readConfig } from '../config';
import { processesOf, processIdsOf } from '../testing/leftovers';
import { labSetUpTimeoutMs } from '../testing/lab';
import { root } from '../root';
import { prepareLab } from '../setup/stages';
import { sandboxDir } from '../store/sandboxes';
import { cgroupName, Cgroups } from './cgroup';
import { testProvider, type ProviderUnderTest } from '../testing/provider-conformance';
import { Isolation } from './isolation';
import { LocalProvider } from './local';

async function makeLocal(isolationWanted: 'auto' | 'none'): Promise<ProviderUnderTest> {
  const stateDir = await mkdtemp(join(tmpdir(), 'lab-'));
  const config = { ...readConfig(), stateDir, isolation: isolationWanted };
  const lab = await prepareLab(config, root, new AbortController().signal);
  const isolation = await Isolation.probe(config);
  const cgroups = await Cgroups.find();
  let made = 0;
  return {
    provider: new LocalProvider(config, join(root, 'dist', 'runner.js'), isolation),
    spec: () => ({
      id: `test${++made}x`,
      templateDir: lab.templateDir,
      lessonsDir: join(root, 'lessons'),
      accelerator: lab.accelerator,
      idleTimeoutMs: config.idleTimeoutMs,
      disconnectedTimeoutMs: config.disconnectedTimeoutMs,
      endWarningMs: config.endWarningMs,
      leaseMs: config.leaseMs,
      scrollbackBytes: config.scrollbackBytes,
      maxTerminals: config.maxTerminals,
      savedStatesMiB: config.savedStatesMiB,
    }),
    async kill(id) {
      const directory = sandboxDir(stateDir, id);
      const pids = processIdsOf(directory, process.execPath);
      for (const pid of pids) process.kill(pid, 'SIGKILL');
      // While its last thread ends, the process has no command line, but its socket still answers.
      const left = () => [...pids.filter((pid) => existsSync(`/proc/${pid}`)), ...processesOf(directory)];
      await expect.poll(left, { timeout: 10_000 }).toEqual([]);
    },
    async leftovers(id) {
      const directory = sandboxDir(stateDir, id);
      const groups = cgroups.paths(cgroupName(id)).filter((path) => existsSync(path));
      const files = await readdir(directory).catch(() => []);
      return [...processesOf(directory), ...groups, ...(existsSync(directory) ? [directory] : []), ...files];
    },
    async remove() {
      await rm(stateDir, { recursive: true });
    },
  };
}

testProvider('local provider, isolated', () => makeLocal('auto'), labSetUpTimeoutMs);
testProvider('local provider, not isolated', () => makeLocal('none'), labSetUpTimeoutMs);
