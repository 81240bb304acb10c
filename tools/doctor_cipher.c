/*
 * doctor_cipher: how fast one core encrypts packets of SSH's size with what claimfs and ssh like best. The only file of the tools that sees
 * libcrypto.
 */
#include <openssl/evp.h>

#include "base/clock.h"
#include "tools/doctor.h"

#define PACKET 32768
#define EACH_NS (NS_PER_S / 10)

/* Bytes a second; < 0: this libcrypto does not have it. */
static double measure(const EVP_CIPHER *cipher)
{
	static unsigned char packet[PACKET + EVP_MAX_BLOCK_LENGTH];
	static const unsigned char key[EVP_MAX_KEY_LENGTH], iv[EVP_MAX_IV_LENGTH];
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int64_t begin, now;
	double bytes = 0;
	int len;
	bool good = context && cipher && EVP_EncryptInit_ex(context, cipher, NULL, key, iv) == 1;

	begin = now = clock_now();
	while (good && now - begin < EACH_NS) {
		good = EVP_EncryptUpdate(context, packet, &len, packet, PACKET) == 1;
		bytes += PACKET;
		now = clock_now();
	}
	EVP_CIPHER_CTX_free(context);
	return good && now > begin ? bytes * NS_PER_S / (double)(now - begin) : -1;
}

void doctor_look_cipher(struct doctor_node *node)
{
	node->aes_rate = node->chacha_rate = -1;
	if (node->local)
		return;
	node->aes_rate = measure(EVP_aes_128_gcm());
	node->chacha_rate = measure(EVP_chacha20_poly1305());
}
