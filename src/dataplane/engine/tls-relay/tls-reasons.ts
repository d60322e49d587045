/** What went wrong with a TLS connection, for somebody who has the certificates at hand. */
export function tlsReason(error: Error): string {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  const alert = /ALERT_(.+)$/.exec(code)?.[1];
  if (alert !== undefined) {
    return `the peer ended the handshake: ${alert.toLowerCase().replaceAll('_', ' ')}`;
  }
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'EPROTO') {
    return 'the peer does not speak TLS 1.3';
  }
  if (code.startsWith('E') && !code.startsWith('ERR_')) return error.message;
  // The codes of OpenSSL's verification, such as SELF_SIGNED_CERT_IN_CHAIN.
  if (/^[A-Z_]+$/.test(code) && !code.startsWith('ERR_')) {
    return `the peer's certificate is refused: ${error.message} (${code})`;
  }
  return error.message;
}
