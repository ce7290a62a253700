package identity

import lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"

// Why a token is refused, for those who are told so in their own language.
const (
	tokenExpired          = lockboxv1.ReasonCode_REASON_CODE_TOKEN_EXPIRED
	aheadOfTime           = lockboxv1.ReasonCode_REASON_CODE_TOKEN_AHEAD_OF_TIME
	tokenTooLong          = lockboxv1.ReasonCode_REASON_CODE_TOKEN_TOO_LONG
	issuerNotTrusted      = lockboxv1.ReasonCode_REASON_CODE_TOKEN_ISSUER_NOT_TRUSTED
	claimUnreadable       = lockboxv1.ReasonCode_REASON_CODE_TOKEN_CLAIM_UNREADABLE
	tokenMalformed        = lockboxv1.ReasonCode_REASON_CODE_TOKEN_MALFORMED
	tokenMissing          = lockboxv1.ReasonCode_REASON_CODE_TOKEN_MISSING
	algorithmNotUsed      = lockboxv1.ReasonCode_REASON_CODE_TOKEN_ALGORITHM_NOT_USED
	headersNotUnderstood  = lockboxv1.ReasonCode_REASON_CODE_TOKEN_HEADERS_NOT_UNDERSTOOD
	tokenOfAnotherType    = lockboxv1.ReasonCode_REASON_CODE_TOKEN_OF_ANOTHER_TYPE
	signatureWrong        = lockboxv1.ReasonCode_REASON_CODE_TOKEN_SIGNATURE_WRONG
	keyOfAnotherAlgorithm = lockboxv1.ReasonCode_REASON_CODE_TOKEN_KEY_OF_ANOTHER_ALGORITHM
	keyNotNamed           = lockboxv1.ReasonCode_REASON_CODE_TOKEN_KEY_NOT_NAMED
	keyUnknown            = lockboxv1.ReasonCode_REASON_CODE_TOKEN_KEY_UNKNOWN
	forAnotherAudience    = lockboxv1.ReasonCode_REASON_CODE_TOKEN_FOR_ANOTHER_AUDIENCE
	tokenWithoutEnd       = lockboxv1.ReasonCode_REASON_CODE_TOKEN_WITHOUT_END
	claimElsewhere        = lockboxv1.ReasonCode_REASON_CODE_TOKEN_CLAIM_ELSEWHERE
	issuerRecordedWrongly = lockboxv1.ReasonCode_REASON_CODE_ISSUER_RECORDED_WRONGLY
	groupsNotMapped       = lockboxv1.ReasonCode_REASON_CODE_GROUPS_NOT_MAPPED
	groupsNotNamed        = lockboxv1.ReasonCode_REASON_CODE_GROUPS_NOT_NAMED
)

// Why a key is passed over.
const (
	keyMalformed        = lockboxv1.ReasonCode_REASON_CODE_KEY_MALFORMED
	partMalformed       = lockboxv1.ReasonCode_REASON_CODE_KEY_PART_MALFORMED
	keyOfUnusedKind     = lockboxv1.ReasonCode_REASON_CODE_KEY_OF_UNUSED_KIND
	keyOfUnusedSize     = lockboxv1.ReasonCode_REASON_CODE_KEY_OF_UNUSED_SIZE
	keyNotForSignatures = lockboxv1.ReasonCode_REASON_CODE_KEY_NOT_FOR_SIGNATURES
	keyNotSecret        = lockboxv1.ReasonCode_REASON_CODE_KEY_NOT_SECRET
	tooManyNamesakes    = lockboxv1.ReasonCode_REASON_CODE_KEY_WITH_TOO_MANY_NAMESAKES
)
