/** Runs in the page: controls that are smaller than WCAG 2.5.8 lets them be. Links in text are exempt there. */
export function smallTargets(): string[] {
  return [
    ...document.querySelectorAll<HTMLElement>('button, input, [role="switch"], [role="radio"], [role="menuitem"]'),
  ]
    .filter((element) => element.getClientRects().length > 0)
    .map((element) => {
      // What a label covers belongs to its control.
      const field = element.closest('.mantine-Input-input');
      const parts = [element, ...((element as HTMLInputElement).labels ?? []), ...(field ? [field] : [])];
      const boxes = parts.map((part) => part.getBoundingClientRect()).filter(({ width }) => width > 1);
      const width = Math.max(0, ...boxes.map((box) => box.width));
      const height = Math.max(0, ...boxes.map((box) => box.height));
      const name = element.getAttribute('aria-label') ?? (element.textContent || element.id);
      return { name, width, height };
    })
    .filter(({ width, height }) => width > 0 && (width < 24 || height < 24))
    .map(({ name, width, height }) => `${name} is ${Math.round(width)}×${Math.round(height)} px`);
}

/** Runs in the page: texts and choices of which a part is cut off, with nothing to read it by. */
export function cutTexts(): string[] {
  return [...document.querySelectorAll<HTMLElement>('body *')]
    .filter(
      (element) =>
        element.role === 'radiogroup' ||
        [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent!.trim() !== ''),
    )
    .filter((element) => element.clientWidth > 1 && element.closest('.visually-hidden, [title], pre, svg') === null)
    .filter((element) => {
      const { overflowX } = getComputedStyle(element);
      return (overflowX === 'hidden' || overflowX === 'clip') && element.scrollWidth > element.clientWidth + 1;
    })
    .map((element) => `“${element.textContent.trim().slice(0, 60)}” is cut off`);
}
