import { describe, expect, test } from 'vitest';
import type { TerminalInfo } from '../../../server/protocol/terminal';
import {
  activeTerminal,
  firstLayout,
  settleLayout,
  show,
  split,
  storedLayoutSchema,
  unsplit,
} from './pane-layout';

const terminals = (...ids: string[]): TerminalInfo[] =>
  ids.map((id, channel) => ({
    id,
    host: id.startsWith('source') ? 'source' : 'destination',
    channel,
    name: id,
  }));

const order = ['source', 'source-2', 'source-3'];

describe('a layout', () => {
  test('keeps the stored layout as far as its terminals still exist', () => {
    const source = split(firstLayout.hostLayouts.source, 'stacked', 'source-2', order);
    const layout = { ...firstLayout, hostLayouts: { ...firstLayout.hostLayouts, source } };
    expect(settleLayout(layout, [])).toBe(layout);
    expect(settleLayout(layout, terminals('source', 'source-2', 'destination'))).toBe(layout);
    const settled = settleLayout(layout, terminals('source', 'destination'));
    expect(settled.hostLayouts.source).toEqual({ shown: ['source'], active: 0, split: 'stacked' });
    expect(settled.hostLayouts.destination).toBe(layout.hostLayouts.destination);
  });

  test('shows another terminal when the visible one is gone', () => {
    const source = show(firstLayout.hostLayouts.source, 'source-2');
    const layout = { ...firstLayout, hostLayouts: { ...firstLayout.hostLayouts, source } };
    expect(settleLayout(layout, terminals('source')).hostLayouts.source.shown).toEqual(['source']);
  });

  test('shows a terminal in place of the one in use, or activates it if it is visible', () => {
    const two = split(firstLayout.hostLayouts.source, 'beside', 'source-2', order);
    expect(two).toEqual({ shown: ['source', 'source-2'], active: 1, split: 'beside' });
    expect(show(two, 'source')).toEqual({ ...two, active: 0 });
    expect(show(two, 'source-3').shown).toEqual(['source', 'source-3']);
    expect(activeTerminal(unsplit(two))).toBe('source-2');
  });

  test('puts two terminals in the order of their tabs', () => {
    const second = show(firstLayout.hostLayouts.source, 'source-2');
    expect(split(second, 'beside', 'source', order)).toEqual({
      shown: ['source', 'source-2'],
      active: 0,
      split: 'beside',
    });
  });

  test('does not split a terminal from itself', () => {
    expect(split(firstLayout.hostLayouts.source, 'beside', 'source', order)).toBe(
      firstLayout.hostLayouts.source,
    );
  });

  test('is read only if it is valid', () => {
    expect(storedLayoutSchema.safeParse(JSON.parse(JSON.stringify(firstLayout))).data).toEqual(firstLayout);
    expect(storedLayoutSchema.safeParse({ hosts: 'diagonal' }).success).toBe(false);
  });

  test('from an earlier version of the page is still read', () => {
    const { hosts, hostLayouts } = firstLayout;
    const source = { shown: ['source-2', 'source'], active: 1, split: 'stacked' } as const;
    const stored = { hosts, views: { ...hostLayouts, source } };
    expect(storedLayoutSchema.parse(JSON.parse(JSON.stringify(stored)))).toEqual({
      hosts,
      hostLayouts: { ...hostLayouts, source },
    });
  });
});
