import { describe, expect, it } from 'vitest';
import type { TerminalInfo } from '../../../server/protocol/terminal';
import { activeTerminal, firstLayout, layoutSchema, settleLayout, show, split, unsplit } from './arrangement';

const terminals = (...ids: string[]): TerminalInfo[] =>
  ids.map((id, channel) => ({
    id,
    host: id.startsWith('source') ? 'source' : 'destination',
    channel,
    name: id,
  }));

const order = ['source', 'source-2', 'source-3'];

describe('arrangement', () => {
  it('keeps what was remembered as far as it still exists', () => {
    const view = split(firstLayout.views.source, 'stacked', 'source-2', order);
    const layout = { ...firstLayout, views: { ...firstLayout.views, source: view } };
    expect(settleLayout(layout, [])).toBe(layout);
    expect(settleLayout(layout, terminals('source', 'source-2', 'destination'))).toBe(layout);
    const settled = settleLayout(layout, terminals('source', 'destination'));
    expect(settled.views.source).toEqual({ shown: ['source'], active: 0, split: 'stacked' });
    expect(settled.views.destination).toBe(layout.views.destination);
  });

  it('shows another terminal when the one on view is gone', () => {
    const view = show(firstLayout.views.source, 'source-2');
    const layout = { ...firstLayout, views: { ...firstLayout.views, source: view } };
    expect(settleLayout(layout, terminals('source')).views.source.shown).toEqual(['source']);
  });

  it('shows a terminal in the place of the used one, and goes to one that is on view', () => {
    const two = split(firstLayout.views.source, 'beside', 'source-2', order);
    expect(two).toEqual({ shown: ['source', 'source-2'], active: 1, split: 'beside' });
    expect(show(two, 'source')).toEqual({ ...two, active: 0 });
    expect(show(two, 'source-3').shown).toEqual(['source', 'source-3']);
    expect(activeTerminal(unsplit(two))).toBe('source-2');
  });

  it('puts two terminals in the order of their tabs', () => {
    const second = show(firstLayout.views.source, 'source-2');
    expect(split(second, 'beside', 'source', order)).toEqual({
      shown: ['source', 'source-2'],
      active: 0,
      split: 'beside',
    });
  });

  it('does not split a terminal from itself', () => {
    expect(split(firstLayout.views.source, 'beside', 'source', order)).toBe(firstLayout.views.source);
  });

  it('is read only if it is one', () => {
    expect(layoutSchema.safeParse(JSON.parse(JSON.stringify(firstLayout))).data).toEqual(firstLayout);
    expect(layoutSchema.safeParse({ hosts: 'diagonal' }).success).toBe(false);
  });
});
