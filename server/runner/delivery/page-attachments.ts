/** The terminals that one page shows. A message about a terminal that the page does not show is late, not wrong. */
import { LabError } from '../../protocol/errors';
import type { ClientMessage } from '../../protocol/messages';
import type { Attachment } from '../terminal/attachment';
import type { Terminals } from '../terminal/terminals';
import type { PageConnection } from './page-connection';

export class PageAttachments {
  readonly #page: PageConnection;
  readonly #terminals: Terminals;
  /** By terminal id. */
  readonly #attachments = new Map<string, Attachment>();

  constructor(page: PageConnection, terminals: Terminals) {
    this.#page = page;
    this.#terminals = terminals;
  }

  /** @throws LabError `bad-message` when there is no such terminal */
  attach(message: Extract<ClientMessage, { type: 'attach' }>): void {
    const terminal = this.#terminals.get(message.terminal);
    const before = this.#attachments.get(terminal.id);
    const { clientId, from, columns, rows } = message;
    const attachment = this.#page.show(
      terminal.id,
      (page) => terminal.attach(page, { clientId, from, columns, rows, role: this.#page.role }),
      () => {
        if (this.#attachments.get(terminal.id) === attachment) this.#attachments.delete(terminal.id);
      },
    );
    // The terminal has already ended an earlier attachment of the same client.
    if (this.#attachments.get(terminal.id) === before) this.detach(terminal.id);
    this.#attachments.set(terminal.id, attachment);
  }

  detach(id: string): void {
    const attachment = this.#attachments.get(id);
    if (!attachment) return;
    this.#attachments.delete(id);
    this.#page.hide(attachment);
    this.#terminals.get(id).detach(attachment);
  }

  /** How much of the terminal fits into the page. */
  setViewport(id: string, columns: number, rows: number): void {
    const attachment = this.#attachments.get(id);
    if (attachment) this.#terminals.get(id).setViewport(attachment, columns, rows);
  }

  /** The learner uses the terminal on this page. */
  activate(id: string): void {
    const attachment = this.#attachments.get(id);
    if (attachment) this.#terminals.get(id).activate(attachment);
  }

  /** The page has parsed all output before `offset`. */
  acknowledge(id: string, offset: number): void {
    this.#attachments.get(id)?.acknowledge(offset);
  }

  /** @throws LabError `bad-message`, `overloaded` */
  input(channel: number, offset: number, bytes: Uint8Array): void {
    for (const [id, attachment] of this.#attachments) {
      const terminal = this.#terminals.get(id);
      if (terminal.channel === channel) {
        terminal.write(attachment, offset, bytes);
        return;
      }
    }
    // A page may still type into a terminal that was closed, until it knows.
    if (this.#terminals.hasHadChannel(channel)) return;
    throw new LabError('bad-message', `There is no terminal on channel ${channel}.`);
  }

  close(): void {
    for (const id of [...this.#attachments.keys()]) this.detach(id);
  }
}
