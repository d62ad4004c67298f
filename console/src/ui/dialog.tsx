import { Modal, type ModalProps } from '@mantine/core';
import { type FocusEvent, type ReactNode, useEffect } from 'react';
import { useKept } from './unsaved';

interface DialogProps {
  title: string;
  opened?: boolean;
  /** Absent: neither Escape nor a click beside it closes the dialog. */
  onClose?: () => void;
  size?: ModalProps['size'];
  overlayProps?: ModalProps['overlayProps'];
  zIndex?: number;
  children: ReactNode;
}

/**
 * Every dialog of the console. A field that is used while the dialog opens keeps the focus. The focus returns to what
 * opened the dialog; where that is gone, to the heading of the page. A session that ends meanwhile does not close it.
 */
export function Dialog({ title, opened = true, onClose, children, ...look }: DialogProps) {
  useReturnFocus(opened);
  useKept(opened);
  const isSealed = onClose === undefined;
  return (
    <Modal
      opened={opened}
      onClose={onClose ?? (() => undefined)}
      title={title}
      centered
      returnFocus={false}
      withCloseButton={!isSealed}
      closeOnClickOutside={!isSealed}
      closeOnEscape={!isSealed}
      closeButtonProps={{ 'aria-label': 'Close' }}
      // An element `header` outside of an article is the banner of the page, and there is one already.
      attributes={{ header: { role: 'presentation' } }}
      onFocusCapture={keepFocus}
      {...look}
    >
      {children}
    </Modal>
  );
}

/**
 * Mantine focuses `[data-autofocus]`, else the Close button, in a task of its own. On a busy machine that comes after
 * the first input, and Enter would close the dialog: so whatever has the focus first is marked as that element.
 */
function keepFocus({ target, currentTarget }: FocusEvent<HTMLElement>): void {
  for (const marked of currentTarget.querySelectorAll('[data-autofocus]')) marked.removeAttribute('data-autofocus');
  target.setAttribute('data-autofocus', 'true');
}

/** What had the focus last, outside of dialogs: a menu may be gone by the time that its dialog is there. */
let lastFocused: HTMLElement | null = null;
document.addEventListener('focusin', ({ target }) => {
  if (target instanceof Element && target.closest('[role="dialog"]') === null) lastFocused = openerOf(target);
});

/** A dialog that has just closed; one that opens in its place takes over what had opened it. */
let closed: { opener: HTMLElement | null; timer: number } | null = null;

/** Gives the focus back to what had it when `isOpen` became true. */
function useReturnFocus(isOpen: boolean): void {
  useEffect(() => {
    if (!isOpen) return undefined;
    const opener = closed === null ? openerOf(document.activeElement) : closed.opener;
    if (closed !== null) window.clearTimeout(closed.timer);
    closed = null;
    return () => {
      const timer = window.setTimeout(() => {
        closed = null;
        giveFocus(opener);
      });
      closed = { opener, timer };
    };
  }, [isOpen]);
}

/** An item of a menu is gone with the menu: the button of the menu stands for it. */
function openerOf(active: Element | null): HTMLElement | null {
  const menu = active?.closest('[role="menu"]');
  const opener = menu ? document.getElementById(menu.getAttribute('aria-labelledby') ?? '') : active;
  return opener instanceof HTMLElement && opener !== document.body ? opener : lastFocused;
}

function giveFocus(opener: HTMLElement | null): void {
  const active = document.activeElement;
  // Something else has taken the focus meanwhile: the page that followed, or a field.
  if (active !== null && active !== document.body && active.closest('[role="dialog"], [role="menu"]') === null) return;
  const isThere = opener !== null && opener.isConnected && opener.getClientRects().length > 0;
  const target = isThere ? opener : document.querySelector<HTMLElement>('main h1');
  target?.focus({ preventScroll: true });
}
