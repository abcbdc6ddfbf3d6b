import type { Metadata } from 'next';
import type { ReactElement } from 'react';
import { Watch } from '../../workspace/watch';

export const metadata: Metadata = {
  title: 'Watching',
  // The address is the key to somebody's terminals.
  robots: { index: false, follow: false },
  referrer: 'no-referrer',
};

export default async function WatchPage({
  params,
}: {
  params: Promise<{ grant: string }>;
}): Promise<ReactElement> {
  const { grant } = await params;
  return <Watch grant={grant} />;
}
