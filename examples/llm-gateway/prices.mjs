/** Prices in micro-cents (10⁻⁶ cents) per token, whole numbers, so that sums are exact. */
const PRICES = {
  'gpt-4o': { input: 250, output: 1_000, maxOutputTokens: 4_096 },
  'gpt-4o-mini': { input: 15, output: 60, maxOutputTokens: 4_096 },
  o3: { input: 200, output: 800, maxOutputTokens: 8_192 },
};

/** What the model of this name costs; null for one that we do not sell. */
export function findPrice(model) {
  return Object.hasOwn(PRICES, model) ? PRICES[model] : null;
}

/** Cents, with at most six decimals. */
export function costCents(price, { inputTokens, outputTokens }) {
  return (price.input * inputTokens + price.output * outputTokens) / 1_000_000;
}

/**
 * More tokens than the messages can be: a token is at least a byte, and each message costs a few on top.
 * A real gateway would ask the model's tokenizer; the nearer the bound, the less is held.
 */
export function mostInputTokens(messages) {
  return messages.reduce((sum, message) => sum + Buffer.byteLength(JSON.stringify(message)), 0) + 16;
}
