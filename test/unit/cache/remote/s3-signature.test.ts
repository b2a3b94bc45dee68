import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { signS3 } from '../../../../src/cache/remote/s3-signature.js';

/** The examples of AWS's "Signature Calculations for the Authorization Header". */
const EXAMPLES = [
  ['/?lifecycle=', 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543'],
  ['/?max-keys=2&prefix=J', '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7'],
] as const;

const credentials = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
};

const sign = (path: string, sessionToken?: string) =>
  signS3({
    method: 'GET',
    url: new URL(`https://examplebucket.s3.amazonaws.com${path}`),
    region: 'us-east-1',
    bodyHash: createHash('sha256').digest('hex'),
    credentials: { ...credentials, sessionToken },
    now: new Date('2013-05-24T00:00:00Z'),
  });

describe('signatures of S3', () => {
  for (const [path, signature] of EXAMPLES)
    it(`are those of AWS's example ${path}`, () => {
      expect(sign(path)['authorization']).to.equal(
        `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=${signature}`,
      );
    });

  it('cover the session token', () => {
    const signed = sign('/', 'a token');
    expect(signed['x-amz-security-token']).to.equal('a token');
    expect(signed['authorization']).to.contain('x-amz-date;x-amz-security-token,');
  });
});
