/** The terminals of a sandbox: the first of each host, and those that the learner has opened. */
import { LabError } from '../../protocol/errors';
import { hostNames, type HostName } from '../../protocol/hosts';
import type { TerminalInfo } from '../../protocol/terminal';
import { Terminal, type TerminalEvents } from './terminal';

/** A frame names its terminal with one byte. */
const channels = 256;

export class Terminals implements Iterable<Terminal> {
  readonly #limit: number;
  readonly #scrollbackBytes: number;
  readonly #events: (terminal: () => Terminal) => TerminalEvents;
  readonly #open: Terminal[] = [];
  #channelsUsed = 0;
  readonly #numbers: Record<HostName, number> = { source: 0, destination: 0 };
  /** Requests that have opened a terminal. A page may send a request twice. */
  readonly #requests = new Set<string>();

  /**
   * @param limit terminals at the same time
   * @param scrollbackBytes of output kept of each
   * @param events of a terminal
   */
  constructor(limit: number, scrollbackBytes: number, events: (terminal: () => Terminal) => TerminalEvents) {
    this.#limit = limit;
    this.#scrollbackBytes = scrollbackBytes;
    this.#events = events;
    for (const host of hostNames) this.#add(host);
  }

  [Symbol.iterator](): Iterator<Terminal> {
    return this.#open[Symbol.iterator]();
  }

  get infos(): TerminalInfo[] {
    return this.#open.map(({ info }) => info);
  }

  /** The first terminal of each host, which cannot be closed. */
  get first(): Terminal[] {
    return this.#open.filter(({ id, host }) => id === host);
  }

  find(id: string): Terminal | undefined {
    return this.#open.find((candidate) => candidate.id === id);
  }

  /** @throws LabError `bad-message` */
  get(id: string): Terminal {
    const terminal = this.find(id);
    if (!terminal) throw new LabError('bad-message', `There is no terminal ${id}.`);
    return terminal;
  }

  /** Whether a terminal has or had this channel. */
  hasHadChannel(channel: number): boolean {
    return channel < this.#channelsUsed;
  }

  has(terminal: Terminal): boolean {
    return this.#open.includes(terminal);
  }

  /**
   * Makes another terminal of a host. Its program is not started.
   * @returns undefined when this request was answered before
   * @throws LabError `overloaded` at the limit
   */
  create(host: HostName, requestId: string): Terminal | undefined {
    if (this.#requests.has(requestId)) return undefined;
    if (this.#open.length >= this.#limit) {
      throw new LabError('overloaded', `There are ${this.#limit} terminals, which is the limit.`, {
        hint: 'Close one that you do not need.',
      });
    }
    if (this.#channelsUsed >= channels) {
      throw new LabError('overloaded', `This session has opened ${channels} terminals, which is the limit.`, {
        hint: 'Start a new pair.',
      });
    }
    const terminal = this.#add(host);
    this.#requests.add(requestId);
    return terminal;
  }

  /** @throws LabError `bad-message` for the first terminal of a host */
  remove(terminal: Terminal): void {
    if (terminal.id === terminal.host) {
      throw new LabError('bad-message', 'The first terminal of a host cannot be closed.');
    }
    this.#open.splice(this.#open.indexOf(terminal), 1);
    terminal.dispose();
  }

  #add(host: HostName): Terminal {
    const number = ++this.#numbers[host];
    const id = number === 1 ? host : `${host}-${number}`;
    const name = number === 1 ? host : `${host} ${number}`;
    const terminal: Terminal = new Terminal(
      id,
      host,
      this.#channelsUsed++,
      name,
      this.#events(() => terminal),
      this.#scrollbackBytes,
    );
    this.#open.push(terminal);
    return terminal;
  }
}
