/** Handles everything that a page sends: the one switch over a client's messages in this process. */
import type { HostName } from '../../protocol/hosts';
import type { ClientMessage } from '../../protocol/messages';
import type { Terminals } from '../terminal/terminals';
import { PageAttachments } from './page-attachments';
import type { PageConnection, PageHandler } from './page-connection';

/** What a page can ask of the sandbox. A request that makes no sense throws LabError `bad-message`. */
export interface PageRequests {
  /** The learner is there. */
  noteActivity(): void;
  openTerminal(page: PageConnection, host: HostName, requestId: string): void;
  closeTerminal(id: string): void;
  renameTerminal(id: string, name: string): void;
  run(page: PageConnection, request: Extract<ClientMessage, { type: 'run' }>): void;
  check(stepId: string): void;
  rewind(page: PageConnection, stepId: string): void;
}

export class PageMessages implements PageHandler {
  readonly #page: PageConnection;
  readonly #requests: PageRequests;
  readonly #attachments: PageAttachments;

  constructor(page: PageConnection, terminals: Terminals, requests: PageRequests) {
    this.#page = page;
    this.#requests = requests;
    this.#attachments = new PageAttachments(page, terminals);
  }

  receive(message: ClientMessage): void {
    const page = this.#page;
    const requests = this.#requests;
    switch (message.type) {
      case 'ping':
        page.send({ type: 'pong' });
        break;
      case 'attach':
        this.#attachments.attach(message);
        break;
      case 'detach':
        this.#attachments.detach(message.terminal);
        break;
      case 'viewport':
        this.#attachments.setViewport(message.terminal, message.columns, message.rows);
        break;
      case 'activate':
        this.#attachments.activate(message.terminal);
        break;
      case 'ack':
        this.#attachments.acknowledge(message.terminal, message.offset);
        break;
      case 'here':
        requests.noteActivity();
        break;
      case 'open-terminal':
        requests.noteActivity();
        requests.openTerminal(page, message.host, message.requestId);
        break;
      case 'close-terminal':
        requests.noteActivity();
        requests.closeTerminal(message.terminal);
        break;
      case 'rename-terminal':
        requests.noteActivity();
        requests.renameTerminal(message.terminal, message.name);
        break;
      case 'run':
        requests.noteActivity();
        this.#attachments.activate(message.terminal);
        requests.run(page, message);
        break;
      case 'check':
        requests.noteActivity();
        requests.check(message.stepId);
        break;
      case 'rewind':
        requests.noteActivity();
        requests.rewind(page, message.stepId);
        break;
      default:
        message satisfies never;
    }
  }

  input(channel: number, offset: number, bytes: Uint8Array): void {
    this.#requests.noteActivity();
    this.#attachments.input(channel, offset, bytes);
  }

  close(): void {
    this.#attachments.close();
  }
}
