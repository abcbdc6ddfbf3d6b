/**
 * Who a pair is. All clones of a template wake with the template's SSH keys and machine ids; before a learner meets them they
 * get keys that no other pair has, so that what is known of one pair opens no other.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { LabError } from '../protocol/errors';
import { hostNames, type HostName } from '../protocol/hosts';

/** With what the runner logs in to a host: paths of a private key and of a known_hosts file. */
export interface Credentials {
  key: string;
  knownHosts: string;
}

/** Those of every host that has no identity of its own yet, made with the host image. */
export const imageCredentials = (imageDir: string): Credentials => ({
  key: join(imageDir, 'id_ed25519'),
  knownHosts: join(imageDir, 'known_hosts'),
});

/** Names under which each host knows the other (see the image's /etc/hosts). */
const addresses: Record<HostName, string> = {
  source: 'source,10.77.0.1',
  destination: 'destination,rhel08,10.77.0.2',
};

export class PairIdentity {
  private constructor(
    readonly credentials: Credentials,
    private readonly scripts: Record<HostName, string>,
  ) {}

  /**
   * Makes keys, which takes some milliseconds.
   * @param directory where the runner's own are kept; made if it is not there
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
      throw new LabError('missing-tool', 'ssh-keygen could not make the keys of a pair.', { cause });
    }
    const text = (name: string) => readFile(path(name), 'utf8');
    const knownHosts = await Promise.all(
      hostNames.map(async (host) => `${addresses[host]} ${await text(`${host}.pub`)}`),
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
        // journalctl looks for the journal where the machine id says, journald has it open.
        `id=${randomBytes(16).toString('hex')} old=$(</etc/machine-id)`,
        '[ ! -d "/run/log/journal/$old" ] || mv "/run/log/journal/$old" "/run/log/journal/$id"',
        'echo "$id" >/etc/machine-id',
        // The sshd on the link has the old host key in memory.
        'kill -HUP "$(</run/sshd.pid)"',
      ].join('\n');
    return new PairIdentity(
      { key: path('runner'), knownHosts: path('known_hosts') },
      { source: await script('source'), destination: await script('destination') },
    );
  }

  /** A script for bash that makes the host this one. Written into the files that are there, which keep their modes and labels. */
  script(host: HostName): string {
    return this.scripts[host];
  }
}

/** printf is bash's own: no process is started for a file. */
const install = (file: string, content: string): string => `printf %s '${content}' >${file}`;
