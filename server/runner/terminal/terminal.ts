/**
 * One terminal: a pty that runs the attach command, its output, its input, and the pages that are attached to it. It knows nothing
 * of WebSockets.
 */
import type { HostName } from '../../protocol/hosts';
import type { Role } from '../../protocol/session';
import type { Busy, TerminalInfo } from '../../protocol/terminal';
import { Attachment, type AttachedTerminal, type AttachedPage } from './attachment';
import { CommandEntry } from './command-entry';
import { FlowControl } from './flow-control';
import { TerminalInput } from './input';
import { OutputLog, type Size } from './output-log';
import { Pty } from './pty';
import { Screen } from './screen';
import { SequenceScanner } from './sequences';
import { Shell, type ShellEvents } from './shell';

export interface TerminalEvents extends ShellEvents {
  /** The pty's program has ended. The terminal has no shell until {@link Terminal.open} is called again. */
  onExit(): void;
}

export class Terminal implements AttachedTerminal {
  readonly log: OutputLog;
  readonly screen: Screen;
  readonly #events: TerminalEvents;
  readonly #scanner = new SequenceScanner();
  readonly #attachments = new Set<Attachment>();
  readonly #input: TerminalInput;
  readonly #shell: Shell;
  readonly #commands: CommandEntry;
  readonly #flow: FlowControl;
  #active: Attachment | undefined;
  #uses = 0;
  #pty: Pty | undefined;
  #size: Size = { columns: 80, rows: 24 };

  /** @param scrollbackBytes of output kept for pages that reconnect */
  constructor(
    readonly id: string,
    readonly host: HostName,
    readonly channel: number,
    public name: string,
    events: TerminalEvents,
    scrollbackBytes: number,
  ) {
    this.#events = events;
    this.log = new OutputLog(scrollbackBytes, this.#size);
    this.screen = new Screen(this.log, this.#scanner, () => {
      this.balance();
    });
    this.#shell = new Shell(this.log, events);
    this.#commands = new CommandEntry(this.#shell, this.screen, (text) => {
      this.type(text);
    });
    const active = () => this.#active;
    this.#flow = new FlowControl(
      {
        log: this.log,
        screen: this.screen,
        attachments: this.#attachments,
        get active() {
          return active();
        },
      },
      (isPaused) => {
        if (isPaused) this.#pty?.pause();
        else this.#pty?.resume();
      },
    );
    this.#input = new TerminalInput(
      (bytes) => this.#pty?.write(bytes) ?? bytes.length,
      (clientId, offset) => {
        for (const attachment of this.#attachments)
          if (attachment.clientId === clientId) attachment.page.inputGiven(offset);
      },
    );
  }

  get info(): TerminalInfo {
    const { id, host, channel, name } = this;
    return { id, host, channel, name };
  }

  /** Whether the terminal has a program. */
  get isOpen(): boolean {
    return this.#pty !== undefined;
  }

  /** Whether the shell waits at its prompt, by its own word. */
  get idle(): boolean {
    return this.#shell.idle;
  }

  /** Starts the program of this terminal, such as the attach command. */
  open(command: readonly [string, ...string[]]): void {
    this.#endSequence();
    this.#flow.restart();
    this.#shell.attached();
    const pty = new Pty(command, this.#size, {
      onData: (bytes) => {
        if (this.#pty === pty) this.#receive(bytes);
      },
      onEnd: () => {
        if (this.#pty !== pty) return;
        this.#pty = undefined;
        this.#input.drop();
        this.#shell.gone();
        this.#events.onExit();
      },
    });
    this.#pty = pty;
    this.balance();
  }

  /** Shows text of the lab itself, not of the host. */
  notice(text: string): void {
    this.#endSequence();
    this.#receive(Buffer.from(`\r\n\x1b[2m[${text}]\x1b[0m\r\n`));
  }

  /**
   * Shows text of the lab itself when what is on the screen is over. The screen becomes an ordinary one again, and all that was on
   * it scrolls away with the text, because the next program begins by clearing the screen.
   */
  noticeOnFreshScreen(text: string): void {
    this.#endSequence();
    // The end of the alternate screen, and DECSTR (xterm's ctlseqs): a full-screen program may not have undone its own modes.
    this.#receive(Buffer.from('\x1b[?1049l\x1b[!p'));
    this.notice(text);
    this.#receive(Buffer.from('\r\n'.repeat(this.#size.rows)));
  }

  /**
   * Types a client's bytes as a keyboard would, those that have not come before (see {@link TerminalInput.take}). Dropped while
   * there is no shell.
   * @throws LabError `bad-message`, `overloaded`
   */
  write(attachment: Attachment, offset: number, bytes: Uint8Array): void {
    this.activate(attachment);
    this.#noteTyping(bytes);
    this.#input.take(attachment.clientId, offset, bytes);
  }

  /** Types as the lab itself, after all that was typed before. @throws LabError `overloaded` */
  type(text: string): void {
    this.#noteTyping(Buffer.from(text));
    this.#input.type(text);
  }

  /**
   * Types a command at the prompt and enters it, if nothing stands in the way.
   * @param whenBusy what to do if something does: nothing; end it with Ctrl-C; or cut the line (bash keeps it for Ctrl-Y)
   * @param runId the run's id; the shell's marks of this command carry it
   * @returns what still stands in the way; the command was not typed then
   * @throws LabError `overloaded`
   */
  typeCommand(
    text: string,
    whenBusy: 'refuse' | 'interrupt' | 'cut-line',
    runId: string,
  ): Promise<Busy | undefined> {
    return this.#commands.enter(text, whenBusy, runId);
  }

  /** Shows the terminal to a page. Other attachments of the same client end: their connections are lost. */
  attach(
    page: AttachedPage,
    options: { clientId: string; role: Role; from: number | null; columns: number; rows: number },
  ): Attachment {
    const { clientId, role, from, columns, rows } = options;
    const before = [...this.#attachments].find((one) => one.clientId === clientId && one.role === role);
    const attachment = new Attachment(this, page, clientId, role, from, { columns, rows });
    this.#attachments.add(attachment);
    if (before) {
      attachment.usedAt = before.usedAt;
      if (this.#active === before) this.#active = attachment;
      this.#attachments.delete(before);
      before.detach();
      before.page.end();
    }
    if (this.#active === attachment) this.#applySize();
    else if (!this.#active) this.activate(attachment);
    page.wake();
    this.balance();
    return attachment;
  }

  detach(attachment: Attachment): void {
    attachment.detach();
    this.#attachments.delete(attachment);
    if (this.#active === attachment) {
      this.#active = undefined;
      const [next] = [...this.#attachments]
        .filter(({ role }) => role === 'owner')
        .sort((a, b) => b.usedAt - a.usedAt);
      if (next) this.activate(next);
    }
    this.balance();
  }

  /** The learner uses the terminal on this page: the page decides the size, and output is not faster than the page. */
  activate(attachment: Attachment): void {
    if (attachment.role !== 'owner' || !this.#attachments.has(attachment)) return;
    attachment.usedAt = ++this.#uses;
    if (this.#active === attachment) return;
    this.#active = attachment;
    this.#applySize(true);
    this.balance();
  }

  /** How much of the terminal fits into the page. */
  setViewport(attachment: Attachment, columns: number, rows: number): void {
    attachment.viewport = { columns, rows };
    if (this.#active === attachment) this.#applySize();
  }

  isActive(attachment: Attachment): boolean {
    return this.#active === attachment;
  }

  takenFrom(clientId: string): number {
    return this.#input.takenOf(clientId);
  }

  /** Ends the program without a word. {@link open} starts another. */
  close(): void {
    const pty = this.#pty;
    this.#pty = undefined;
    pty?.kill();
    this.#input.drop();
    this.#shell.gone();
  }

  /** The terminal is no more. Its pages' connections tell the pages. */
  dispose(): void {
    this.close();
    this.#shell.dispose();
    this.#flow.dispose();
    for (const attachment of this.#attachments) {
      attachment.detach();
      attachment.page.end();
    }
    this.#attachments.clear();
    this.#active = undefined;
    this.screen.dispose();
  }

  balance(): void {
    this.#flow.balance();
  }

  #receive(data: Buffer): void {
    let from = 0;
    const isWhole = this.#scanner.unfinished === 0;
    for (const { mark, end } of this.#scanner.scan(data)) {
      this.log.append(data.subarray(from, end), isWhole && from === 0);
      from = end;
      this.#shell.handle(mark);
    }
    this.log.append(data.subarray(from), isWhole && from === 0);
    this.screen.wake();
    for (const attachment of this.#attachments) attachment.page.wake();
    this.#flow.received();
  }

  /** What is shown next is not part of a sequence that the program did not finish. */
  #endSequence(): void {
    // CAN ends any sequence, and does nothing else.
    if (this.#scanner.unfinished > 0) this.#receive(Buffer.from('\x18'));
  }

  #noteTyping(bytes: Uint8Array): void {
    this.#shell.typed();
    this.#flow.typed(bytes);
  }

  /** @param isNews the size is told even if it is the same: another page decides it now */
  #applySize(isNews = false): void {
    const size = this.#active?.viewport;
    if (!size) return;
    const isSame = size.columns === this.#size.columns && size.rows === this.#size.rows;
    if (isSame && !isNews) return;
    this.#size = { ...size };
    if (!isSame) this.#pty?.resize(size.columns, size.rows);
    this.log.note({ type: 'size', size: this.#size });
    this.screen.wake();
    for (const attachment of this.#attachments) attachment.page.wake();
  }
}
