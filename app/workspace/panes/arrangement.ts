/**
 * Which terminals are on view and how they are arranged, as plain values; remembered by the browser.
 */
import '../../../server/protocol/zod-without-eval';
import { z } from 'zod';
import { hostNames, type HostName } from '../../../server/protocol/hosts';
import type { TerminalInfo } from '../../../server/protocol/terminal';

export const directionSchema = z.enum(['beside', 'stacked']);
/** How two things share a place: side by side, or one above the other. */
export type Direction = z.infer<typeof directionSchema>;

const hostViewSchema = z.object({
  /** Ids of the terminals on view, left or upper one first. */
  shown: z.array(z.string()).min(1).max(2),
  /** Which of them is used: where a run goes, and what a tab is opened in. */
  active: z.number().int().min(0).max(1),
  split: directionSchema,
});
export type HostView = z.infer<typeof hostViewSchema>;

export const layoutSchema = z.object({
  hosts: directionSchema,
  views: z.object({ source: hostViewSchema, destination: hostViewSchema }),
});
export type Layout = z.infer<typeof layoutSchema>;

/** The first terminal of a host has the host's name as its id. */
const firstView = (host: HostName): HostView => ({ shown: [host], active: 0, split: 'beside' });

export const firstLayout: Layout = {
  hosts: 'stacked',
  views: { source: firstView('source'), destination: firstView('destination') },
};

/** The terminal that is used in a view. */
export const activeTerminal = ({ shown, active }: HostView): string => shown[active] ?? shown[0] ?? '';

/** A view of terminals that there are, as near as possible to what was asked for. */
export function settleView(view: HostView, terminals: readonly TerminalInfo[], host: HostName): HostView {
  const ids = terminals.filter((one) => one.host === host).map(({ id }) => id);
  const [first] = ids;
  // Nothing is known yet: what was remembered may still be true.
  if (first === undefined) return view;
  const used = activeTerminal(view);
  const left = [...new Set(view.shown)].filter((id) => ids.includes(id));
  const shown = left.length > 0 ? left : [first];
  const active = Math.max(0, shown.indexOf(used)) === 1 ? 1 : 0;
  const unchanged = active === view.active && shown.length === view.shown.length;
  return unchanged && shown.every((id, index) => id === view.shown[index])
    ? view
    : { ...view, shown, active };
}

export function settleLayout(layout: Layout, terminals: readonly TerminalInfo[]): Layout {
  const views = { ...layout.views };
  for (const host of hostNames) views[host] = settleView(layout.views[host], terminals, host);
  return hostNames.every((host) => views[host] === layout.views[host]) ? layout : { ...layout, views };
}

/** Shows a terminal where it is on view already, else in the place of the one that is used. */
export function show(view: HostView, id: string): HostView {
  const at = view.shown.indexOf(id);
  if (at >= 0) return { ...view, active: at === 1 ? 1 : 0 };
  return { ...view, shown: view.shown.map((one, index) => (index === view.active ? id : one)) };
}

/**
 * Shows one more terminal, which is used then.
 * @param order ids as their tabs stand, which is how the two stand as well
 */
export function split(
  view: HostView,
  direction: Direction,
  second: string,
  order: readonly string[],
): HostView {
  const first = view.shown.find((id) => id !== second);
  if (first === undefined) return view;
  const swapped = order.indexOf(second) < order.indexOf(first);
  return swapped
    ? { shown: [second, first], active: 0, split: direction }
    : { shown: [first, second], active: 1, split: direction };
}

/** Shows the used terminal alone. */
export const unsplit = (view: HostView): HostView => ({ ...view, shown: [activeTerminal(view)], active: 0 });
