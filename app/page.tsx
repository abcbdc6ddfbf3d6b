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
import './ui/command-prompt.css';
import './ui/section.css';
import './page.css';

/** The talk's three screens, shortened to the lines that matter; the lesson has every line. */
const screens: { host: Host; title: string; lines: [command: string, answer?: string][] }[] = [
  {
    host: 'source',
    title: 'Start it, count, checkpoint it',
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
    title: 'Restore it elsewhere',
    lines: [
      ['podman container restore --import=/tmp/chkpt.tar.gz'],
      ['curl 10.88.0.2:8080/helloworld/', '2'],
      ['curl 10.88.0.2:8080/helloworld/', '3'],
    ],
  },
  {
    host: 'destination',
    title: 'Restore it twice',
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
          Move a running container to another machine. <span>It keeps counting.</span>
        </h1>
        <div className="hero-words">
          <p>
            A hands-on course on container live migration with CRIU and Podman. You get two Linux hosts of
            your own, <HostName host="source" /> and <HostName host="destination" />, and you are root on
            both. You start a container on the first, freeze it into a file, copy the file to the second, and
            restore the container there: with its memory, its address and its count.
          </p>
          <p className="button-row">
            {first !== undefined && (
              <Link className="button button-primary button-large" href={`/lessons/${first.id}`}>
                {first === demo ? 'Open the demo' : 'Start the course'}
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
          These are the commands of the demo in Adrian Reber’s talk <em>Container Live Migration</em>. The
          counter exists only in the memory of a Java process. When the answer after 1 is 2, on another
          machine, that process has moved.
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
        <h2 id="real">What is real, and what is a stand-in</h2>
        <div className="real">
          <dl>
            <div>
              <dt>The hosts are real.</dt>
              <dd>
                You get two virtual machines in QEMU with Debian 13. Each has its own kernel, with SELinux
                enforcing. They are yours alone and are deleted when you leave. They can reach each other and
                nothing else.
              </dd>
            </div>
            <div>
              <dt>The commands are real.</dt>
              <dd>
                A Run button types into the same root shell as your keyboard. A step is done when a check
                finds the result on the hosts; pressing a button is not enough. You can read every check.
              </dd>
            </div>
            <div>
              <dt>The container image is a stand-in.</dt>
              <dd>
                Only the name <code>adrianreber/wildfly-hello</code> is original. Inside is an image made for
                this course: a small Java application on Debian’s OpenJDK and the Jetty web server. Like the
                original, it counts from 0 in memory.
              </dd>
            </div>
            <div>
              <dt>
                <code>rhel08</code> is a stand-in.
              </dt>
              <dd>
                In the talk it is a Red Hat machine. Here the name means your <HostName host="destination" />,
                which runs Debian.
              </dd>
            </div>
            <div>
              <dt>CRIU is rebuilt.</dt>
              <dd>
                Debian builds CRIU without SELinux support. Such a CRIU cannot restore a container’s SELinux
                label. The hosts have both: <code>criu</code>, rebuilt with SELinux support, and Debian’s own
                as <code>criu.debian</code>.
              </dd>
            </div>
          </dl>
          <LabFacts />
        </div>
      </section>
    </PageFrame>
  );
}
