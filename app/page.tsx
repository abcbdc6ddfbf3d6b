import Link from 'next/link';
import type { ReactElement } from 'react';
import type { HostName as Host } from '../server/protocol/hosts';
import { CourseOutline } from './lessons/course-outline';
import { getLessons } from './lessons/data';
import { outlineOf } from './lessons/outline';
import { HostName } from './ui/host';
import { LabFacts } from './lab-facts';
import { MigrationDiagram } from './ui/migration-diagram';
import { PageFrame } from './ui/page-frame';
import { Words } from './ui/words';

/** The talk's three screens, shortened to what changes; the lesson has every line. */
const screens: { host: Host; title: string; lines: [command: string, answer?: string][] }[] = [
  {
    host: 'source',
    title: 'Start it, count, freeze it',
    lines: [
      ['podman run --rm -d adrianreber/wildfly-hello'],
      ['curl 10.88.0.2:8080/helloworld/', '0'],
      ['curl 10.88.0.2:8080/helloworld/', '1'],
      ['podman container checkpoint -l --export=/tmp/chkpt.tar.gz'],
      ['scp /tmp/chkpt.tar.gz rhel08:/tmp'],
    ],
  },
  {
    host: 'destination',
    title: 'Wake it elsewhere',
    lines: [
      ['podman container restore --import=/tmp/chkpt.tar.gz'],
      ['curl 10.88.0.2:8080/helloworld/', '2'],
      ['curl 10.88.0.2:8080/helloworld/', '3'],
    ],
  },
  {
    host: 'destination',
    title: 'Wake it twice',
    lines: [
      ['podman container restore --import=/tmp/chkpt.tar.gz -n hello1'],
      ['podman container restore --import=/tmp/chkpt.tar.gz -n hello2'],
      ['curl 10.88.0.3:8080/helloworld/', '2'],
      ['curl 10.88.0.4:8080/helloworld/', '2'],
    ],
  },
];

export default async function Home(): Promise<ReactElement> {
  const lessons = await getLessons();
  const demo = lessons.find(({ id }) => id === 'live-migration');
  const [first] = lessons;
  return (
    <PageFrame>
      <section className="hero">
        <h1>
          Move a running container to another machine. <span>It goes on counting.</span>
        </h1>
        <div className="hero-words">
          <p>
            A hands-on course on container live migration with CRIU and Podman. You get two Linux hosts of
            your own, <HostName host="source" /> and <HostName host="destination" />, and are root on both.
            You start a container on the one, freeze it into a file, carry the file over, and wake it on the
            other: with its memory, its address and its count.
          </p>
          <p className="button-row">
            {first !== undefined && (
              <Link className="button button-primary button-large" href={`/lessons/${first.id}`}>
                {first === demo ? 'Open the demo' : 'Begin the course'}
              </Link>
            )}
            {demo !== undefined && demo !== first && (
              <Link className="button button-large" href={`/lessons/${demo.id}`}>
                Open the demo
              </Link>
            )}
          </p>
        </div>
        <MigrationDiagram />
      </section>

      <section className="home-section" aria-labelledby="what">
        <h2 id="what">What you will type</h2>
        <p className="home-lead">
          The demo of Adrian Reber’s talk <em>Container Live Migration</em>, to the letter. The counter lives
          in the memory of a Java process and nowhere else. When the answer after 1 is 2, on another machine,
          it was that process that moved.
        </p>
        <ol className="screens">
          {screens.map(({ host, title, lines }) => (
            <li key={title} className="screen" data-host={host}>
              <p className="screen-head">
                <HostName host={host} />
                <span>{title}</span>
              </p>
              <pre>
                {lines.map(([command, answer], index) => (
                  <span key={index} className="screen-line">
                    <span className="command-prompt"># </span>
                    <Words text={command} />
                    {'\n'}
                    {answer !== undefined && <b>{`${answer}\n`}</b>}
                  </span>
                ))}
              </pre>
            </li>
          ))}
        </ol>
      </section>

      <section className="home-section" aria-labelledby="lessons">
        <h2 id="lessons">The course</h2>
        <CourseOutline parts={outlineOf(lessons)} />
      </section>

      <section className="home-section" aria-labelledby="real">
        <h2 id="real">What is real, and what stands in</h2>
        <div className="real">
          <dl>
            <div>
              <dt>The hosts are real.</dt>
              <dd>
                Two virtual machines in QEMU with Debian 13, each with a kernel of its own and SELinux
                enforcing. They are yours alone and are deleted when you leave. They reach one another and
                nothing else.
              </dd>
            </div>
            <div>
              <dt>The commands are real.</dt>
              <dd>
                A run button types into the same root shell as your keyboard. A step is done when a check
                finds it done on the hosts, not when a button was pressed. You can read each check.
              </dd>
            </div>
            <div>
              <dt>The container image stands in.</dt>
              <dd>
                <code>adrianreber/wildfly-hello</code> is here under its name only. Inside is an image of our
                own: a small Java application on Debian’s OpenJDK and the Jetty web server, which counts from
                0 in memory as the original does.
              </dd>
            </div>
            <div>
              <dt>
                <code>rhel08</code> stands in.
              </dt>
              <dd>
                In the talk it is a Red Hat machine. Here the name means your <HostName host="destination" />,
                which runs Debian.
              </dd>
            </div>
            <div>
              <dt>CRIU is rebuilt.</dt>
              <dd>
                Debian builds CRIU without SELinux support, and such a CRIU cannot restore a container into
                its label. The hosts have both: <code>criu</code>, rebuilt with it, and{' '}
                <code>criu.debian</code>.
              </dd>
            </div>
          </dl>
          <LabFacts />
        </div>
      </section>
    </PageFrame>
  );
}
