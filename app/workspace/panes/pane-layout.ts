/** Which terminals are visible and how they share the page, as plain values that the browser stores. */
import '../../../server/protocol/zod-without-eval';
import { z } from 'zod';
import { hostNames, type HostName } from '../../../server/protocol/hosts';
import type { TerminalInfo } from '../../../server/protocol/terminal';

const directionSchema = z.enum(['beside', 'stacked']);
/** How two panes share an area: side by side, or stacked. */
export type Direction = z.infer<typeof directionSchema>;

const hostLayoutSchema = z.object({
  /** Ids of the visible terminals, the left or upper one first. */
  shown: z.array(z.string()).min(1).max(2),
  /** Index of the terminal in use. A run goes there, and another terminal replaces it on view. */
  active: z.number().int().min(0).max(1),
  split: directionSchema,
});
export type HostLayout = z.infer<typeof hostLayoutSchema>;

const perHost = z.object({ source: hostLayoutSchema, destination: hostLayoutSchema });
const layoutSchema = z.object({ hosts: directionSchema, hostLayouts: perHost });
export type Layout = z.infer<typeof layoutSchema>;

/** A layout as a browser may have stored it. Earlier pages stored the hosts' layouts as `views`. */
export const storedLayoutSchema: z.ZodType<Layout> = z.union([
  layoutSchema,
  z
    .object({ hosts: directionSchema, views: perHost })
    .transform(({ hosts, views }) => ({ hosts, hostLayouts: views })),
]);

/** The first terminal of a host has the host's name as its id. */
const firstHostLayout = (host: HostName): HostLayout => ({ shown: [host], active: 0, split: 'beside' });

export const firstLayout: Layout = {
  hosts: 'stacked',
  hostLayouts: { source: firstHostLayout('source'), destination: firstHostLayout('destination') },
};

/** The id of the terminal in use. */
export const activeTerminal = ({ shown, active }: HostLayout): string => shown[active] ?? shown[0] ?? '';

/** Adapts a host's layout to its current terminals. */
function settleHostLayout(
  layout: HostLayout,
  terminals: readonly TerminalInfo[],
  host: HostName,
): HostLayout {
  const ids = terminals.filter((one) => one.host === host).map(({ id }) => id);
  const [first] = ids;
  // No terminals are known yet, so the stored layout may still fit.
  if (first === undefined) return layout;
  const used = activeTerminal(layout);
  const left = [...new Set(layout.shown)].filter((id) => ids.includes(id));
  const shown = left.length > 0 ? left : [first];
  const active = Math.max(0, shown.indexOf(used)) === 1 ? 1 : 0;
  const unchanged = active === layout.active && shown.length === layout.shown.length;
  return unchanged && shown.every((id, index) => id === layout.shown[index])
    ? layout
    : { ...layout, shown, active };
}

/** Adapts the layout to the current terminals. Returns the same object when it already fits. */
export function settleLayout(layout: Layout, terminals: readonly TerminalInfo[]): Layout {
  const hostLayouts = { ...layout.hostLayouts };
  for (const host of hostNames)
    hostLayouts[host] = settleHostLayout(layout.hostLayouts[host], terminals, host);
  return hostNames.every((host) => hostLayouts[host] === layout.hostLayouts[host])
    ? layout
    : { ...layout, hostLayouts };
}

/** Activates a terminal if it is visible, otherwise shows it in place of the one in use. */
export function show(layout: HostLayout, id: string): HostLayout {
  const at = layout.shown.indexOf(id);
  if (at >= 0) return { ...layout, active: at === 1 ? 1 : 0 };
  return { ...layout, shown: layout.shown.map((one, index) => (index === layout.active ? id : one)) };
}

/**
 * Shows a second terminal and makes it the one in use.
 * @param order ids in the order of their tabs; the two terminals keep this order
 */
export function split(
  layout: HostLayout,
  direction: Direction,
  second: string,
  order: readonly string[],
): HostLayout {
  const first = layout.shown.find((id) => id !== second);
  if (first === undefined) return layout;
  const swapped = order.indexOf(second) < order.indexOf(first);
  return swapped
    ? { shown: [second, first], active: 0, split: direction }
    : { shown: [first, second], active: 1, split: direction };
}

/** Shows only the terminal in use. */
export const unsplit = (layout: HostLayout): HostLayout => ({
  ...layout,
  shown: [activeTerminal(layout)],
  active: 0,
});
