/**
 * The identity of a pair. All clones of a template wake with the template's SSH keys and machine ids. Before a learner uses a pair,
 * its hosts get keys that no other pair has, so the keys of one pair open no other.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { LabError } from '../protocol/errors';
import { hostAddresses, hostNames, type HostName } from '../protocol/hosts';

/** Paths of the private key and the known_hosts file with which the runner logs in to a host. */
export interface Credentials {
  key: string;
  knownHosts: string;
}

/** Credentials for every host that has no identity of its own yet; the image build makes them. */
export const imageCredentials = (imageDir: string): Credentials => ({
  key: join(imageDir, 'id_ed25519'),
  knownHosts: join(imageDir, 'known_hosts'),
});

/** Names and addresses under which each host knows the other (see the image's /etc/hosts). */
const knownAs: Record<HostName, string> = {
  source: `source,${hostAddresses.source}`,
  destination: `destination,rhel08,${hostAddresses.destination}`,
};

export class PairIdentity {
  readonly #scripts: Record<HostName, string>;

  private constructor(
    readonly credentials: Credentials,
    scripts: Record<HostName, string>,
  ) {
    this.#scripts = scripts;
  }

  /**
   * Makes the keys, which takes some milliseconds.
   * @param directory holds the runner's own keys; made if absent
   * @throws LabError `missing-tool` without ssh-keygen
   */
  static async create(directory: string): Promise<PairIdentity> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const path = (name: string) => join(directory, name);
    const names = ['runner', 'pair', ...hostNames];
    try {
      await Promise.all(
        names.map((name) =>
          execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', path(name)]),
        ),
      );
    } catch (cause) {
      throw new LabError('missing-tool', 'Cannot make the SSH keys of a pair: ssh-keygen failed.', { cause });
    }
    const text = (name: string) => readFile(path(name), 'utf8');
    const knownHosts = await Promise.all(
      hostNames.map(async (host) => `${knownAs[host]} ${await text(`${host}.pub`)}`),
    );
    await writeFile(path('known_hosts'), knownHosts.join(''));
    const script = async (host: HostName) =>
      [
        'set -e',
        install('/etc/ssh/ssh_host_ed25519_key', await text(host)),
        install('/etc/ssh/ssh_host_ed25519_key.pub', await text(`${host}.pub`)),
        install('/etc/ssh/ssh_known_hosts', knownHosts.join('')),
        install('/root/.ssh/id_ed25519', await text('pair')),
        install('/root/.ssh/id_ed25519.pub', await text('pair.pub')),
        install('/root/.ssh/authorized_keys', (await text('runner.pub')) + (await text('pair.pub'))),
        // The journal's directory is named after the machine id: journalctl looks there, and journald has it open.
        `id=${randomBytes(16).toString('hex')} old=$(</etc/machine-id)`,
        '[ ! -d "/run/log/journal/$old" ] || mv "/run/log/journal/$old" "/run/log/journal/$id"',
        'echo "$id" >/etc/machine-id',
        // The sshd on the link still has the old host key in memory.
        'kill -HUP "$(</run/sshd.pid)"',
      ].join('\n');
    return new PairIdentity(
      { key: path('runner'), knownHosts: path('known_hosts') },
      { source: await script('source'), destination: await script('destination') },
    );
  }

  /** A bash script that gives the host this identity. It writes into existing files, so they keep their modes and labels. */
  script(host: HostName): string {
    return this.#scripts[host];
  }
}

/** printf is a bash builtin, so writing a file starts no process. */
const install = (file: string, content: string): string => `printf %s '${content}' >${file}`;
