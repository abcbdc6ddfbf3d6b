/** How long the browser may take to begin with a download. */
const beginsWithinMs = 60_000;

/** Has the browser save a file, where and as it saves all files. */
export function saveFile(name: string, content: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => {
    URL.revokeObjectURL(link.href);
  }, beginsWithinMs);
}
