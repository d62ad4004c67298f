/** Your second factor. */
export class SecondFactorView {
  /** Whether a code is asked for when you sign in. */
  isSetUp: boolean;

  setUpAt: Date | null;

  /**
   * Recovery codes that are not used yet.
   * @example 10
   */
  recoveryCodesLeft: number;

  /** Whether `MFA_REQUIRED` asks you for one. */
  isRequired: boolean;
}

/** A second factor that waits for its first code. Shown this once. */
export class EnrolmentView {
  /**
   * The secret in base32, to be typed into an authenticator app.
   * @example "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
   */
  secret: string;

  /**
   * The same for a QR code.
   * @example "otpauth://totp/Latchkey%20keys.example.com:ada%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
   */
  uri: string;
}

/** Recovery codes. Shown this once. */
export class RecoveryCodesView {
  /**
   * Each opens one sign-in in place of a code of the app.
   * @example ["7KQ2-M9XD-4TRA-W0EH"]
   */
  recoveryCodes: string[];
}
