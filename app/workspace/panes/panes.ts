import { hostNames, type HostName } from '../../../server/protocol/hosts';

/** The panes of the lesson page, in focus order. */
export type PaneName = 'lesson' | HostName;
export const paneNames: readonly PaneName[] = ['lesson', ...hostNames];
