/** What one page shows of the session's terminals. */
import { LabError } from '../../protocol/errors';
import type { ClientMessage } from '../../protocol/messages';
import type { Client } from './connection';
import type { Terminals } from '../terminal/terminals';
import type { View } from './view';

export class Viewing {
  /** By terminal id. */
  private readonly views = new Map<string, View>();

  constructor(
    private readonly client: Client,
    private readonly terminals: Terminals,
  ) {}

  /**
   * Handles a message about what is shown. One about a terminal that the page does not show is late, not wrong: the terminal may
   * have been closed meanwhile.
   * @returns false when the message is about something else
   * @throws LabError `bad-message` when there is no such terminal to attach
   */
  receive(message: ClientMessage): boolean {
    switch (message.type) {
      case 'attach':
        this.attach(message);
        return true;
      case 'detach':
        this.detach(message.terminal);
        return true;
      case 'viewport': {
        const view = this.views.get(message.terminal);
        if (view) this.terminals.get(message.terminal).setViewport(view, message.columns, message.rows);
        return true;
      }
      case 'activate':
        this.activate(message.terminal);
        return true;
      case 'ack':
        this.views.get(message.terminal)?.acknowledge(message.offset);
        return true;
      default:
        return false;
    }
  }

  /** @throws LabError `bad-message`, `overloaded` */
  input(channel: number, offset: number, bytes: Uint8Array): void {
    for (const [id, view] of this.views) {
      const terminal = this.terminals.get(id);
      if (terminal.channel === channel) {
        terminal.write(view, offset, bytes);
        return;
      }
    }
    // A terminal that was closed may still be typed into by who does not know yet.
    if (this.terminals.hasHadChannel(channel)) return;
    throw new LabError('bad-message', `There is no terminal on channel ${channel}.`);
  }

  /** The learner uses the terminal here. */
  activate(id: string): void {
    const view = this.views.get(id);
    if (view) this.terminals.get(id).activate(view);
  }

  close(): void {
    for (const id of [...this.views.keys()]) this.detach(id);
  }

  private attach(message: Extract<ClientMessage, { type: 'attach' }>): void {
    const terminal = this.terminals.get(message.terminal);
    const before = this.views.get(terminal.id);
    const { writer, from, columns, rows } = message;
    const view = this.client.show(
      terminal.id,
      (viewer) => terminal.attach(viewer, { writer, from, columns, rows, role: this.client.role }),
      () => {
        if (this.views.get(terminal.id) === view) this.views.delete(terminal.id);
      },
    );
    // If it was of the same writer the terminal has ended it, and the new one has its place.
    if (this.views.get(terminal.id) === before) this.detach(terminal.id);
    this.views.set(terminal.id, view);
  }

  private detach(id: string): void {
    const view = this.views.get(id);
    if (!view) return;
    this.views.delete(id);
    this.client.hide(view);
    this.terminals.get(id).detach(view);
  }
}
