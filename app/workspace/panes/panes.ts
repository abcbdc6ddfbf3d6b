import { hostNames, type HostName } from '../../../server/protocol/hosts';

/** The parts of the lesson page that hold the focus in turn. */
export type PaneName = 'lesson' | HostName;
export const paneNames: readonly PaneName[] = ['lesson', ...hostNames];
