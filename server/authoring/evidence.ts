/** Reads the hosts' logs after a lesson test failed, over the control channel instead of the learner's terminals. */
import { ControlChannel } from '../host/control-channel';
import { hostNames, type HostName } from '../protocol/hosts';
import { LabError } from '../protocol/errors';
import { sandboxDir, sandboxFiles } from '../store/sandboxes';

/** Quick commands that show whether a container, CRIU or SELinux is the cause. */
const script = `
show() { printf '\\n%s\\n' "$1"; }
show 'journal:'; journalctl --boot --no-pager --output=short-monotonic --lines=30 2>&1
show 'audit:'; tail -n 12 /var/log/audit/audit.log 2>&1
log=$(find /tmp /root /var/tmp /run /var/lib/containers /var/lib/docker /var/lib/lxc -xdev \\
  \\( -name dump.log -o -name restore.log -o -name '*criu*.log' -o -name lazy-pages.log -o -name page-server.log \\) \\
  -printf '%T@ %p\\n' 2>/dev/null | sort -n | tail -n 1 | cut -d ' ' -f 2-)
[ -z "$log" ] || { show "newest CRIU log, $log:"; tail -n 30 "$log"; }
`;

/** When a host does not answer for this long, in milliseconds, its silence is part of the failure. */
const timeoutMs = 60_000;

/**
 * The channel of the sandbox's runner to a host. It is shared and never opened again. ssh refuses an empty file name, so
 * unused files have the name `none`.
 */
const channelTo = (stateDir: string, sandboxId: string, host: HostName): ControlChannel =>
  new ControlChannel(sandboxFiles(sandboxDir(stateDir, sandboxId)).run, host, {
    key: 'none',
    knownHosts: 'none',
  });

/** Journal, audit log and newest CRIU log of both hosts. */
export async function hostLogs(stateDir: string, sandboxId: string): Promise<string> {
  const logs = await Promise.all(
    hostNames.map(async (host) => {
      const text = await channelTo(stateDir, sandboxId, host)
        .run(script, { timeoutMs })
        .then(
          ({ stdout }) => stdout,
          (error: unknown) => `\n${LabError.from(error, `Reading the logs of ${host}`).describe()}`,
        );
      return `── logs of ${host}${text}`;
    }),
  );
  return logs.join('\n');
}

/** Command that logs an author in to a host while the sandbox lives. */
export const loginCommand = (stateDir: string, sandboxId: string, host: HostName): string =>
  `ssh -F none -o ControlPath=${sandboxFiles(sandboxDir(stateDir, sandboxId)).run}/${host}.ctl root@${host}`;
