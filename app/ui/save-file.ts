/** The browser starts a download within this time. */
const downloadStartMs = 60_000;

/** Downloads content as a file, in the browser's usual way. */
export function saveFile(name: string, content: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => {
    URL.revokeObjectURL(link.href);
  }, downloadStartMs);
}
