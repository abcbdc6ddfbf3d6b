import type { Metadata } from 'next';
import type { ReactElement } from 'react';
import { PageFrame } from '../../ui/page-frame';
import { TakeHandover } from '../take-handover';

export const metadata: Metadata = {
  title: 'Continue here',
  // The address is the key to somebody's session.
  robots: { index: false, follow: false },
  referrer: 'no-referrer',
};

export default async function ContinuePage({
  params,
}: {
  params: Promise<{ key: string }>;
}): Promise<ReactElement> {
  const { key } = await params;
  return (
    <PageFrame>
      <TakeHandover handover={key} />
    </PageFrame>
  );
}
