import type { ReactElement } from 'react';
import { HostGlyph } from './host';
import './migration-diagram.css';

interface Box {
  x: number;
  y: number;
}

/** Sizes in units of the drawing. */
const host = { width: 440, height: 300 };
const container = { x: 40, y: 84, width: 360, height: 176 };

function HostDrawing(props: {
  at: Box;
  name: 'source' | 'destination';
  counts: [string, string];
}): ReactElement {
  const { at, name, counts } = props;
  const round = name === 'source';
  return (
    <g className="drawn-host" data-host={name} transform={`translate(${at.x} ${at.y})`}>
      <rect className="drawn-machine" {...host} rx={round ? 40 : 0} />
      {!round && (
        <rect className="drawn-second-line" x={7} y={7} width={host.width - 14} height={host.height - 14} />
      )}
      <svg x={40} y={30} width={36} height={32} className="drawn-glyph" aria-hidden="true">
        <HostGlyph host={name} />
      </svg>
      <text className="drawn-name" x={86} y={54}>
        {name}
      </text>
      <rect className="drawn-trace" {...container} rx={round ? 18 : 0} />
      <rect className="drawn-container" {...container} rx={round ? 18 : 0} />
      <text className="drawn-count drawn-count-first" x={container.x + 100} y={container.y + 126}>
        {counts[0]}
      </text>
      <text className="drawn-count drawn-count-second" x={container.x + 260} y={container.y + 126}>
        {counts[1]}
      </text>
    </g>
  );
}

function Drawing({ upright }: { upright: boolean }): ReactElement {
  const to = upright ? { x: 0, y: 480 } : { x: 800, y: 0 };
  const arrow = upright ? 'M220 310V466' : 'M450 172H784';
  const head = upright ? 'M204 450l16 18 16-18' : 'M770 156l18 16-18 16';
  const label = upright ? { x: 262, y: 366 } : { x: 470, y: 62 };
  const size = upright ? { width: 440, height: 780 } : { width: 1240, height: 300 };
  return (
    <svg
      className={upright ? 'migration-upright' : 'migration-wide'}
      viewBox={`-2 -2 ${size.width + 4} ${size.height + 4}`}
      aria-hidden="true"
    >
      <HostDrawing at={{ x: 0, y: 0 }} name="source" counts={['0', '1']} />
      <HostDrawing at={to} name="destination" counts={['2', '3']} />
      <path className="drawn-way" d={arrow} />
      <path className="drawn-way drawn-way-head" d={head} />
      <g className="drawn-words">
        {['checkpoint', 'scp', 'restore'].map((word, index) => (
          <text key={word} x={label.x} y={label.y + index * 36}>
            {word}
          </text>
        ))}
      </g>
      <g className="drawn-file" transform={upright ? 'translate(194 352)' : 'translate(590 142)'}>
        <g className="drawn-file-moving">
          <path className="drawn-file-sheet" d="M0 0h38l14 14v46H0z" />
          <path className="drawn-file-lines" d="M38 0v14h14M10 26h32M10 37h32M10 48h20" />
        </g>
      </g>
      <text
        className="drawn-file-name"
        x={upright ? 178 : 617}
        y={upright ? 388 : 240}
        textAnchor={upright ? 'end' : 'middle'}
      >
        chkpt.tar.gz
      </text>
    </svg>
  );
}

/** The talk's demo as a diagram: a container counts 0, 1 on the source, becomes a file, and counts 2, 3 on the destination. */
export function MigrationDiagram(): ReactElement {
  return (
    <figure
      className="migration"
      role="img"
      aria-label="A container on the source answers 0 and 1. It is checkpointed into the file chkpt.tar.gz, copied with scp and restored on the destination, where it answers 2 and 3."
    >
      <Drawing upright={false} />
      <Drawing upright />
    </figure>
  );
}
