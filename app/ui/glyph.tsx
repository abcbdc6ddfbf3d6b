import type { ReactElement } from 'react';
import './glyph.css';

/** Icons of 16 by 16 units, drawn in strokes like the hosts' glyphs. */
const paths = {
  plus: 'M8 3v10M3 8h10',
  close: 'M4 4l8 8M12 4l-8 8',
  split: 'M2.5 3h11v10h-11zM8 3v10',
  stack: 'M2.5 3h11v10h-11zM2.5 8h11',
  zoom: 'M9.5 2.5h4v4M6.5 13.5h-4v-4M13.5 2.5l-4.5 4.5M2.5 13.5l4.5-4.5',
  shrink: 'M13 7H9V3M3 9h4v4M9 7l4.5-4.5M7 9l-4.5 4.5',
  more: 'M3 8h.01M8 8h.01M13 8h.01',
  up: 'M3.5 10 8 5.5l4.5 4.5',
  down: 'M3.5 6 8 10.5 12.5 6',
} as const;

export function Glyph({ name }: { name: keyof typeof paths }): ReactElement {
  return (
    <svg className="icon-16" viewBox="0 0 16 16" data-icon={name} aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
