/** The pages that are connected to a sandbox. */
import type { ServerMessage } from '../protocol/messages';
import type { PageConnection } from './delivery/page-connection';

export class Pages {
  readonly #pages = new Set<PageConnection>();

  /** Pages of the session's owner. */
  get owners(): number {
    return [...this.#pages].filter(({ role }) => role === 'owner').length;
  }

  add(page: PageConnection): void {
    this.#pages.add(page);
  }

  remove(page: PageConnection): void {
    this.#pages.delete(page);
  }

  /** @param except a page that is told otherwise */
  broadcast(message: ServerMessage, except?: PageConnection): void {
    for (const page of this.#pages) if (page !== except) page.send(message);
  }
}
