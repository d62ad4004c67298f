import { NumberInput, type NumberInputProps } from '@mantine/core';
import { settings } from '../settings';

/** How many active keys a user may own; empty: as many as the installation allows. */
export function CapField(props: Pick<NumberInputProps, 'value' | 'onChange' | 'error'>) {
  return (
    <NumberInput
      label="Cap on active keys"
      description={`Empty: ${settings.maxActiveKeys}, as set for this installation`}
      min={0}
      max={1_000_000}
      allowDecimal={false}
      {...props}
    />
  );
}
