/** What one page shows of the session's terminals. */
import { LabError } from '../../protocol/errors';
import type { ClientMessage } from '../../protocol/messages';
import type { Client } from './page-connection';
import type { Terminals } from '../terminal/terminals';
import type { Attachment } from '../terminal/attachment';

export class PageAttachments {
  /** By terminal id. */
  private readonly attachments = new Map<string, Attachment>();

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
        const attachment = this.attachments.get(message.terminal);
        if (attachment)
          this.terminals.get(message.terminal).setViewport(attachment, message.columns, message.rows);
        return true;
      }
      case 'activate':
        this.activate(message.terminal);
        return true;
      case 'ack':
        this.attachments.get(message.terminal)?.acknowledge(message.offset);
        return true;
      default:
        return false;
    }
  }

  /** @throws LabError `bad-message`, `overloaded` */
  input(channel: number, offset: number, bytes: Uint8Array): void {
    for (const [id, attachment] of this.attachments) {
      const terminal = this.terminals.get(id);
      if (terminal.channel === channel) {
        terminal.write(attachment, offset, bytes);
        return;
      }
    }
    // A terminal that was closed may still be typed into by who does not know yet.
    if (this.terminals.hasHadChannel(channel)) return;
    throw new LabError('bad-message', `There is no terminal on channel ${channel}.`);
  }

  /** The learner uses the terminal here. */
  activate(id: string): void {
    const attachment = this.attachments.get(id);
    if (attachment) this.terminals.get(id).activate(attachment);
  }

  close(): void {
    for (const id of [...this.attachments.keys()]) this.detach(id);
  }

  private attach(message: Extract<ClientMessage, { type: 'attach' }>): void {
    const terminal = this.terminals.get(message.terminal);
    const before = this.attachments.get(terminal.id);
    const { clientId, from, columns, rows } = message;
    const attachment = this.client.show(
      terminal.id,
      (page) => terminal.attach(page, { clientId, from, columns, rows, role: this.client.role }),
      () => {
        if (this.attachments.get(terminal.id) === attachment) this.attachments.delete(terminal.id);
      },
    );
    // If it was of the same client the terminal has ended it, and the new one has its place.
    if (this.attachments.get(terminal.id) === before) this.detach(terminal.id);
    this.attachments.set(terminal.id, attachment);
  }

  private detach(id: string): void {
    const attachment = this.attachments.get(id);
    if (!attachment) return;
    this.attachments.delete(id);
    this.client.hide(attachment);
    this.terminals.get(id).detach(attachment);
  }
}
