import { QRCodeSVG } from 'qrcode.react';

/** A text as QR code, dark on light in both palettes: phones do not read it the other way round. */
export default function QrCode({ text }: { text: string }) {
  return (
    <QRCodeSVG
      value={text}
      size={216}
      marginSize={4}
      bgColor="#ffffff"
      fgColor="#000000"
      level="M"
      title="QR code for your authenticator app"
    />
  );
}
