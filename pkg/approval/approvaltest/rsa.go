package approvaltest

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"sync"
)

var rsaKeys sync.Map // by name, since finding primes takes a while

// rsaKey finds the same primes for the same name.
func rsaKey(name string) *rsa.PrivateKey {
	if key, is := rsaKeys.Load(name); is {
		return key.(*rsa.PrivateKey) //nolint:errcheck // nothing else is stored
	}
	p, q := prime(name+" p"), prime(name+" q")
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537},
		D:         new(big.Int).ModInverse(big.NewInt(65537), phi), Primes: []*big.Int{p, q},
	}
	key.Precompute()
	must(key.Validate())
	rsaKeys.Store(name, key)
	return key
}

// prime is the first prime of 1024 bits behind a number that follows from the name. Its two highest bits are set, so
// that the product of two has 2048.
func prime(name string) *big.Int {
	var b []byte
	for i := uint64(0); len(b) < 128; i++ {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("lockbox test prime "+name), i))
		b = append(b, sum[:]...)
	}
	b[0] |= 0xc0
	b[127] |= 1
	n, two := new(big.Int).SetBytes(b), big.NewInt(2)
	for !n.ProbablyPrime(20) || new(big.Int).Mod(n, big.NewInt(65537)).Cmp(big.NewInt(1)) == 0 {
		n.Add(n, two)
	}
	return n
}
