/** Where screen readers hear of a new page; part of the frame. */
export const ANNOUNCER_ID = 'announcer';

let hasNavigated = false;

/** To be called when one page of the console follows another: the first one is announced by the browser itself. */
export function noteNavigation(): void {
  hasNavigated = true;
}

/** Says the title of a page that followed another, and takes the focus to its heading. */
export function announcePage(title: string, heading: HTMLElement | null): void {
  if (!hasNavigated) return;
  const announcer = document.getElementById(ANNOUNCER_ID);
  if (announcer) announcer.textContent = title;
  const active = document.activeElement;
  // A field of the new page that has taken the focus keeps it, and so does a dialog.
  if (active?.closest('main form, [role="dialog"], [role="search"]')) return;
  heading?.focus({ preventScroll: true });
}
