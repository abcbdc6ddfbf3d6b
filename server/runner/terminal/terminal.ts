/**
 * One terminal: a pty that runs the attach command, what it has put out, what is typed into it, and everybody who watches. It
 * knows nothing of WebSockets.
 *
 * Flow control: the pty is read at its own pace into the log, whose size is bounded. It is paused while the screen has not
 * parsed what the log is about to drop, and while the active page, the one where the learner works, has too much to parse. A page
 * that only looks on, or that nobody uses, never slows the program: when it has missed too much it is given the screen.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostName } from '../../protocol/hosts';
import type { Role } from '../../protocol/session';
import type { Busy, RunState, TerminalInfo } from '../../protocol/terminal';
import { TerminalInput } from './input';
import { OutputLog, type Size } from './output-log';
import { Pty } from './pty';
import { Screen } from './screen';
import { SequenceScanner, type Mark } from './sequences';
import { TokenBucket } from '../delivery/token-bucket';
import { Attachment, type AttachedTerminal, type AttachedPage } from '../delivery/attachment';

/**
 * The pty is paused while the active page has more than this to parse, or than twice what is on the way to it, and resumed at a
 * quarter of that. A browser parses the most in 50 ms, so that Ctrl-C is not long behind what it stops.
 */
const maxBehindBytes = 512 * 1024;
const minBehindBytes = 16 * 1024;
/** Ctrl-C and Ctrl-\. */
const interruptKeys = [0x03, 0x1c];
/** A flood that was interrupted is over when nothing came for this long, or a page waits for it no longer than `maxRushMs`. */
const rushQuietMs = 60;
const maxRushMs = 2000;
/** Who would see the end of it only after this is given the screen instead of the rest. */
const patienceMs = 400;
/** The echo of what was typed is there after this: it takes some ms, under TCG on a busy machine it has taken 300. */
const echoMs = 350;
/** A program that was sent Ctrl-C has this long to end, a line that was cut to be drawn: on a busy machine that took over a second. */
const clearingMs = 3000;
/** Somebody who types and types is not waited for longer than this. */
const maxTypingMs = 5000;
/** Whether a shell is idle is told at most this often: marks can be forged faster than any page can read. */
const idleNewsMs = 50;
/** Marks remembered: a shell that reads a script of hundreds of lines is below it. */
const marksAtOnce = 1000;
const marksPerSecond = 100;

export interface TerminalEvents {
  /** The shell began or ceased to wait for a command, by its own word. */
  onIdle(idle: boolean): void;
  /** A prompt has come that is not only drawn again: whatever ran before it has ended. */
  onPrompt(): void;
  /** The command of a run began, by its shell's word, or is over: by its shell's word, or because its shell ended. */
  onRun(runId: string, state: { state: 'running' } | Extract<RunState, { state: 'done' }>): void;
  /** The pty's program has ended; the terminal has no shell until {@link Terminal.open} is called again. */
  onExit(): void;
}

export class Terminal implements AttachedTerminal {
  readonly log: OutputLog;
  readonly screen: Screen;
  /** Whether the shell waits at its prompt, by its own word. */
  idle = false;
  private readonly scanner = new SequenceScanner();
  private readonly attachments = new Set<Attachment>();
  private readonly input: TerminalInput;
  private readonly markTokens = new TokenBucket(marksAtOnce, marksPerSecond);
  private active: Attachment | undefined;
  private uses = 0;
  private pty: Pty | undefined;
  private isPaused = false;
  private size: Size = { columns: 80, rows: 24 };
  private rush: { over: NodeJS.Timeout; until: number } | undefined;
  private toldIdle = false;
  private idleNews: NodeJS.Timeout | undefined;
  /** Something was typed since the prompt came, or may have been before this attach. */
  private typedAtPrompt = true;
  private typedAtMs = 0;
  /** The shell has said that a command ended, or that there was none: the next prompt is a new one and not drawn again. */
  private sawEnd = false;
  /** The run whose command was entered and of which the shell has said nothing: a prompt that comes now was only drawn again. */
  private entered: string | undefined;
  private running: { command: number; runId?: string; atMs: number } | undefined;
  private commandCount = 0;
  /** Commands that are typed for the learner, one after the other. */
  private typing: Promise<unknown> = Promise.resolve();

  /** @param scrollbackBytes of output kept for a page that comes back */
  constructor(
    readonly id: string,
    readonly host: HostName,
    readonly channel: number,
    public name: string,
    private readonly events: TerminalEvents,
    scrollbackBytes: number,
  ) {
    this.log = new OutputLog(scrollbackBytes, this.size);
    this.screen = new Screen(this.log, this.scanner, () => {
      this.balance();
    });
    this.input = new TerminalInput(
      (bytes) => this.pty?.write(bytes) ?? bytes.length,
      (clientId, offset) => {
        for (const attachment of this.attachments)
          if (attachment.clientId === clientId) attachment.page.inputGiven(offset);
      },
    );
  }

  get info(): TerminalInfo {
    const { id, host, channel, name } = this;
    return { id, host, channel, name };
  }

  /** Whether it has a program. */
  get isOpen(): boolean {
    return this.pty !== undefined;
  }

  /** Starts the program of this terminal, such as the attach command. */
  open(command: readonly [string, ...string[]]): void {
    this.endSequence();
    this.isPaused = false;
    this.abandonCommand();
    this.sawEnd = false;
    // The shell may be one that was left with a half-typed line.
    this.typedAtPrompt = true;
    const pty = new Pty(command, this.size, {
      onData: (bytes) => {
        if (this.pty === pty) this.receive(bytes);
      },
      onEnd: () => {
        if (this.pty !== pty) return;
        this.pty = undefined;
        this.input.drop();
        this.abandonCommand();
        this.setIdle(false);
        this.events.onExit();
      },
    });
    this.pty = pty;
    this.balance();
  }

  /** Shows text of the lab itself, not of the host. */
  notice(text: string): void {
    this.endSequence();
    this.receive(Buffer.from(`\r\n\x1b[2m[${text}]\x1b[0m\r\n`));
  }

  /**
   * Shows text of the lab itself when what is on the screen is over: the screen is an ordinary one again, and all that was on it
   * scrolls away with the text, because the next program begins by clearing it.
   */
  turnPage(text: string): void {
    this.endSequence();
    // DECSTR and the end of the alternate screen (xterm's ctlseqs): a full-screen program may not have come back to undo its own.
    this.receive(Buffer.from('\x1b[?1049l\x1b[!p'));
    this.notice(text);
    this.receive(Buffer.from('\r\n'.repeat(this.size.rows)));
  }

  /**
   * Types a client's bytes as a keyboard would, those that have not come before (see {@link TerminalInput.take}). Dropped while
   * there is no shell.
   * @throws LabError `bad-message`, `overloaded`
   */
  write(attachment: Attachment, offset: number, bytes: Uint8Array): void {
    this.activate(attachment);
    this.noteTyping(bytes);
    this.input.take(attachment.clientId, offset, bytes);
  }

  /** Types as the lab itself, after all that was typed before. @throws LabError `overloaded` */
  type(text: string): void {
    this.noteTyping(Buffer.from(text));
    this.input.type(text);
  }

  /**
   * Types a command at the prompt and enters it, if nothing stands in the way.
   * @param whenBusy what to do if something does: nothing; end it with Ctrl-C; or cut the line (bash keeps it for Ctrl-Y)
   * @param runId of the run that it is; the shell's marks of this command carry it
   * @returns what still stands in the way; the command was not typed then
   * @throws LabError `overloaded`
   */
  typeCommand(
    text: string,
    whenBusy: 'refuse' | 'interrupt' | 'cut-line',
    runId: string,
  ): Promise<Busy | undefined> {
    const result = this.typing.then(async () => {
      const { pty } = this;
      let busy = await this.busy();
      if (busy && busy !== 'full-screen' && whenBusy === 'interrupt') {
        this.type('\x03');
        busy = await this.untilFree(clearingMs);
      } else if (busy === 'half-typed' && whenBusy === 'cut-line') {
        this.type('\x05\x15');
        busy = await this.untilFree(clearingMs);
      }
      if (busy) return busy;
      // Another shell than that for which it was meant.
      if (this.pty !== pty) return 'program';
      // Nothing has come in between: from the look at the screen to here nothing was waited for.
      this.type(`${text}\r`);
      this.setIdle(false);
      this.entered = runId;
      return undefined;
    });
    this.typing = result.catch(() => undefined);
    return result;
  }

  /** Shows the terminal to a page. Its client's other attachments end: they are of connections that it has lost. */
  attach(
    page: AttachedPage,
    options: { clientId: string; role: Role; from: number | null; columns: number; rows: number },
  ): Attachment {
    const { clientId, role, from, columns, rows } = options;
    const before = [...this.attachments].find((one) => one.clientId === clientId && one.role === role);
    const attachment = new Attachment(this, page, clientId, role, from, { columns, rows });
    this.attachments.add(attachment);
    if (before) {
      attachment.usedAt = before.usedAt;
      if (this.active === before) this.active = attachment;
      this.attachments.delete(before);
      before.detach();
      before.page.end();
    }
    if (this.active === attachment) this.applySize();
    else if (!this.active) this.activate(attachment);
    page.wake();
    this.balance();
    return attachment;
  }

  detach(attachment: Attachment): void {
    attachment.detach();
    this.attachments.delete(attachment);
    if (this.active === attachment) {
      this.active = undefined;
      const [next] = [...this.attachments]
        .filter(({ role }) => role === 'owner')
        .sort((a, b) => b.usedAt - a.usedAt);
      if (next) this.activate(next);
    }
    this.balance();
  }

  /** The learner uses the terminal on this page: it decides the size, and output is not faster than it. */
  activate(attachment: Attachment): void {
    if (attachment.role !== 'owner' || !this.attachments.has(attachment)) return;
    attachment.usedAt = ++this.uses;
    if (this.active === attachment) return;
    this.active = attachment;
    this.applySize(true);
    this.balance();
  }

  /** How much of the terminal fits into the page. */
  setViewport(attachment: Attachment, columns: number, rows: number): void {
    attachment.viewport = { columns, rows };
    if (this.active === attachment) this.applySize();
  }

  isActive(attachment: Attachment): boolean {
    return this.active === attachment;
  }

  takenFrom(clientId: string): number {
    return this.input.takenOf(clientId);
  }

  /** Ends the program without a word. {@link open} starts another. */
  close(): void {
    const pty = this.pty;
    this.pty = undefined;
    pty?.kill();
    this.input.drop();
    this.abandonCommand();
    this.setIdle(false);
  }

  /** The terminal is no more; its pages are told by their connections. */
  dispose(): void {
    this.close();
    clearTimeout(this.idleNews);
    clearTimeout(this.rush?.over);
    for (const attachment of this.attachments) {
      attachment.detach();
      attachment.page.end();
    }
    this.attachments.clear();
    this.active = undefined;
    this.screen.dispose();
  }

  balance(): void {
    const { capacity } = this.log;
    const brake = this.rush ? undefined : this.active;
    const behind = brake?.behind ?? 0;
    const mark = Math.min(
      capacity / 2,
      Math.max(minBehindBytes, Math.min(maxBehindBytes, 2 * (brake?.page.window ?? 0))),
    );
    if (!this.isPaused && (behind > mark || this.screen.lag > (capacity * 3) / 4)) {
      this.isPaused = true;
      this.pty?.pause();
    } else if (this.isPaused && behind < mark / 4 && this.screen.lag < capacity / 2) {
      this.isPaused = false;
      this.pty?.resume();
    }
  }

  private receive(data: Buffer): void {
    let from = 0;
    const isWhole = this.scanner.unfinished === 0;
    for (const { mark, end } of this.scanner.scan(data)) {
      this.log.append(data.subarray(from, end), isWhole && from === 0);
      from = end;
      this.handleMark(mark);
    }
    this.log.append(data.subarray(from), isWhole && from === 0);
    this.screen.wake();
    for (const attachment of this.attachments) attachment.page.wake();
    if (this.rush) this.waitForQuiet(this.rush.until);
    this.balance();
  }

  /** What is shown next is not part of a sequence that its program did not finish. */
  private endSequence(): void {
    // CAN ends any sequence, and does nothing else.
    if (this.scanner.unfinished > 0) this.receive(Buffer.from('\x18'));
  }

  private handleMark(mark: Mark): void {
    const isNoted = this.markTokens.take();
    switch (mark.kind) {
      case 'prompt-start':
        if (isNoted) this.log.note({ type: 'prompt-start' });
        break;
      case 'prompt':
        if (isNoted) this.log.note({ type: 'mark', mark: { kind: 'prompt' } });
        if (this.entered !== undefined) break;
        if (this.sawEnd) this.typedAtPrompt = false;
        this.sawEnd = false;
        this.setIdle(true);
        this.events.onPrompt();
        break;
      case 'start': {
        const runId = this.entered;
        this.entered = undefined;
        this.running = {
          command: ++this.commandCount,
          ...(runId === undefined ? {} : { runId }),
          atMs: Date.now(),
        };
        if (isNoted) this.log.note({ type: 'mark', mark: { kind: 'start', ...this.running } });
        if (runId !== undefined) this.events.onRun(runId, { state: 'running' });
        this.setIdle(false);
        break;
      }
      case 'end': {
        this.entered = undefined;
        this.sawEnd = true;
        // An empty line ends as well, and was no command.
        if (!this.running) break;
        const { atMs, ...which } = this.running;
        this.running = undefined;
        const durationMs = Math.max(0, Date.now() - atMs);
        const { exitCode } = mark;
        if (isNoted) this.log.note({ type: 'mark', mark: { kind: 'end', ...which, exitCode, durationMs } });
        if (which.runId !== undefined)
          this.events.onRun(which.runId, { state: 'done', exitCode, durationMs });
        break;
      }
    }
  }

  /** The shell that would say how the command ended is gone. */
  private abandonCommand(): void {
    const runId = this.running?.runId ?? this.entered;
    this.running = undefined;
    this.entered = undefined;
    if (runId !== undefined) this.events.onRun(runId, { state: 'done', exitCode: null, durationMs: null });
  }

  private setIdle(idle: boolean): void {
    this.idle = idle;
    if (this.idleNews || this.toldIdle === idle) return;
    this.toldIdle = idle;
    this.events.onIdle(idle);
    this.idleNews = setTimeout(() => {
      this.idleNews = undefined;
      this.setIdle(this.idle);
    }, idleNewsMs);
  }

  private noteTyping(bytes: Uint8Array): void {
    this.typedAtPrompt = true;
    this.typedAtMs = Date.now();
    const isBehind = this.isPaused || (this.active?.behind ?? 0) > minBehindBytes;
    if (isBehind && interruptKeys.some((key) => bytes.includes(key))) {
      this.waitForQuiet(this.rush?.until ?? Date.now() + maxRushMs);
      this.balance();
    }
  }

  /**
   * The program was interrupted while the page was behind. What it has put out already is no longer held back for the page, so that
   * the shell's answer comes through at once; pages that would take long to get there are given the screen.
   */
  private waitForQuiet(until: number): void {
    clearTimeout(this.rush?.over);
    const over = setTimeout(
      () => {
        this.rush = undefined;
        for (const attachment of this.attachments)
          if (attachment.behindMs > patienceMs) attachment.skipToScreen();
        this.balance();
      },
      Math.max(0, Math.min(rushQuietMs, until - Date.now())),
    );
    this.rush = { over, until };
  }

  /** @param isNews the size is told even if it is the same: who decides it has changed */
  private applySize(isNews = false): void {
    const size = this.active?.viewport;
    if (!size) return;
    const isSame = size.columns === this.size.columns && size.rows === this.size.rows;
    if (isSame && !isNews) return;
    this.size = { ...size };
    if (!isSame) this.pty?.resize(size.columns, size.rows);
    this.log.note({ type: 'size', size: this.size });
    this.screen.wake();
    for (const attachment of this.attachments) attachment.page.wake();
  }

  /** What stands in the way of typing a command, when the echo of what was typed is on the screen. */
  private async busy(): Promise<Busy | undefined> {
    const deadline = Date.now() + maxTypingMs;
    for (;;) {
      const { idle, typedAtMs } = this;
      if (idle && !this.typedAtPrompt) return undefined;
      const echoesInMs = idle ? typedAtMs + echoMs - Date.now() : 0;
      if (echoesInMs > 0) {
        if (Date.now() > deadline) return 'half-typed';
        await sleep(echoesInMs);
        continue;
      }
      await this.screen.settled();
      if (this.idle !== idle || this.typedAtMs !== typedAtMs) continue;
      if (!idle) return this.screen.isAlternate ? 'full-screen' : 'program';
      return this.screen.isAtEmptyPrompt ? undefined : 'half-typed';
    }
  }

  private async untilFree(timeoutMs: number): Promise<Busy | undefined> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const busy = await this.busy();
      if (!busy || Date.now() > deadline) return busy;
      await sleep(20);
    }
  }
}
