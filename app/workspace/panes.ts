import { hostNames, type HostName } from '../../server/protocol/hosts';

/** The parts of the lesson page that hold the focus in turn. */
export type PaneName = 'lesson' | HostName;
export const paneNames: readonly PaneName[] = ['lesson', ...hostNames];

/** The key that moves from pane to pane: the one that desktops and editors use for it, and that no shell needs. */
export const paneKey = 'F6';
