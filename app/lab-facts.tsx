'use client';

import { useEffect, useState, type ReactElement } from 'react';
import type { LabInfo } from '../server/protocol/http';
import { BrowserGateway } from './workspace/session/browser-gateway';
import { Problem } from './ui/problem';
import './lab-facts.css';

/** Shows the accelerator and the software versions of the hosts. Shows nothing until they are known: the page is complete without. */
export function LabFacts(): ReactElement | null {
  const [lab, setLab] = useState<LabInfo | null>(null);
  useEffect(() => {
    new BrowserGateway().getLab().then(setLab, () => undefined);
  }, []);
  if (lab === null) return null;
  return (
    <div className="lab-facts-column">
      {lab.cannotRun !== undefined && <Problem error={lab.cannotRun} />}
      <dl className="lab-facts">
        <div>
          <dt>accelerator</dt>
          <dd>
            {lab.accelerator === 'kvm' ? 'KVM' : 'TCG: emulated in software, ten to twenty times slower'}
          </dd>
        </div>
        {Object.entries(lab.versions).map(([name, version]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{version}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}
