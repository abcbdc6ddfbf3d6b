import type { ReactElement } from 'react';
import type { HostName } from '../../server/protocol/hosts';
import './host.css';

/** An arrow leaves a circle (source) or enters a square (destination), so the glyphs differ even without colour. */
export function HostGlyph({ host }: { host: HostName }): ReactElement {
  return (
    <svg className="host-glyph" viewBox="0 0 24 20" aria-hidden="true">
      {host === 'source' ? (
        <path d="M13.6 5.4a7 7 0 1 0 0 9.2M9 10h13M18 6l4 4-4 4" />
      ) : (
        <path d="M10 6.5V3h12v14H10v-3.5M2 10h13M11 6l4 4-4 4" />
      )}
    </svg>
  );
}

/** Shows a host's name always with its glyph and colour. */
export function HostName({ host, id }: { host: HostName; id?: string }): ReactElement {
  return (
    <span className="host-name" data-host={host} id={id}>
      <HostGlyph host={host} />
      {host}
    </span>
  );
}
